"""`ports:*`: which port of the machine leads to which port of the app."""

from __future__ import annotations

from dataclasses import replace

import click

from paas.cli.common import format_option, print_json, process_option, report_command
from paas.cli.readable import table
from paas.context import Context
from paas.deploy import routes
from paas.deploy.routing import app_ports, vhost_for
from paas.errors import Conflict, NotFound
from paas.model.process import WEB
from paas.model.route import PortMap, parse_port_map


@click.command("ports:add")
@click.argument("app")
@click.argument("maps", nargs=-1, required=True, metavar="SCHEME:HOST-PORT:CONTAINER-PORT...")
@process_option
@click.pass_obj
def add(ctx: Context, app: str, maps: tuple[str, ...], process: str) -> None:
    """Map more ports, of the web process or another type."""
    wanted = [replace(parse_port_map(text), process=process) for text in maps]
    routes.change_ports(ctx, app, lambda present: (*present, *wanted), process=process)
    _show(ctx, app)


@click.command("ports:set")
@click.argument("app")
@click.argument("maps", nargs=-1, required=True, metavar="SCHEME:HOST-PORT:CONTAINER-PORT...")
@process_option
@click.pass_obj
def set_ports(ctx: Context, app: str, maps: tuple[str, ...], process: str) -> None:
    """Map exactly these ports of the type."""
    wanted = [replace(parse_port_map(text), process=process) for text in maps]
    routes.change_ports(ctx, app, lambda _: wanted, process=process)
    _show(ctx, app)


@click.command("ports:remove")
@click.argument("app")
@click.argument("maps", nargs=-1, required=True, metavar="HOST-PORT|SCHEME:HOST-PORT:CONTAINER-PORT...")
@process_option
@click.pass_obj
def remove(ctx: Context, app: str, maps: tuple[str, ...], process: str) -> None:
    """Map these ports no longer."""
    ctx.state.apps.get(app)
    present = [port for port in _ports(ctx, app) if port.process == process]
    gone = [port for port in present if str(port) in maps or str(port.host) in maps]
    if len(gone) < len(set(maps)):
        raise NotFound(f"{app} does not map all of {' '.join(maps)}", remedy=f"see: paas ports:list {app}")
    if process == WEB and len(gone) == len(present):
        raise Conflict(f"{app} would have no port left", remedy=f"map another first: paas ports:add {app} http:8080:5000")
    routes.change_ports(ctx, app, lambda now: [port for port in now if port not in gone], process=process)
    _show(ctx, app)


@click.command("ports:clear")
@click.argument("app")
@process_option
@click.pass_obj
def clear(ctx: Context, app: str, process: str) -> None:
    """Map the detected ports again."""
    routes.change_ports(ctx, app, lambda _: (), process=process)
    _show(ctx, app)


@click.command("ports:list")
@click.argument("app")
@format_option
@click.pass_obj
def list_ports(ctx: Context, app: str, style: str) -> None:
    """List the app's port maps."""
    ctx.state.apps.get(app)
    if style == "json":
        print_json(ctx.output, [
            {"scheme": p.scheme, "host-port": p.host, "container-port": p.container, "process": p.process}
            for p in _ports(ctx, app)
        ])  # fmt: skip
    else:
        _show(ctx, app)


def _ports(ctx: Context, app: str) -> tuple[PortMap, ...]:
    """Return the maps of all types: those that are served, or before the first deploy those that were set."""
    release = ctx.state.releases.current(app)
    return vhost_for(ctx, app, release).ports if release else app_ports(ctx, app, None)


def _report(ctx: Context, app: str) -> dict[str, str]:
    release = ctx.state.releases.current(app)
    return {
        "ports-map": " ".join(str(port) for port in ctx.state.routes.ports(app) if port.process == WEB),
        "ports-computed-map": " ".join(map(str, app_ports(ctx, app, release))),
        "ports-process-map": " ".join(f"{port.process}={port}" for port in _ports(ctx, app) if port.process != WEB),
        "ports-exposed": " ".join(map(str, release.ports)) if release else "",
    }


def _show(ctx: Context, app: str) -> None:
    ctx.output.step(f"Port mappings for {app}")
    rows = [(port.scheme, str(port.host), str(port.container), port.process) for port in _ports(ctx, app)]
    for line in table(("scheme", "host port", "container port", "process"), rows):
        ctx.output.detail(line)


COMMANDS: tuple[click.Command, ...] = (
    add, set_ports, remove, clear, list_ports,
    report_command("ports", "Show the app's port maps, set and detected.", _report),
)  # fmt: skip
