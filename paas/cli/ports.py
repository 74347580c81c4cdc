"""`ports:*`: which port of the machine leads to which port of the app."""

from __future__ import annotations

import click

from paas.cli.common import format_option, print_json, report_command
from paas.cli.readable import table
from paas.context import Context
from paas.deploy import routes
from paas.deploy.routing import app_ports
from paas.errors import Conflict, NotFound
from paas.model.route import PortMap, parse_port_map


@click.command("ports:add")
@click.argument("app")
@click.argument("maps", nargs=-1, required=True, metavar="SCHEME:HOST-PORT:CONTAINER-PORT...")
@click.pass_obj
def add(ctx: Context, app: str, maps: tuple[str, ...]) -> None:
    """Map more ports."""
    wanted = [parse_port_map(text) for text in maps]
    _show(ctx, app, routes.change_ports(ctx, app, lambda present: (*present, *wanted)))


@click.command("ports:set")
@click.argument("app")
@click.argument("maps", nargs=-1, required=True, metavar="SCHEME:HOST-PORT:CONTAINER-PORT...")
@click.pass_obj
def set_ports(ctx: Context, app: str, maps: tuple[str, ...]) -> None:
    """Map exactly these ports."""
    wanted = [parse_port_map(text) for text in maps]
    _show(ctx, app, routes.change_ports(ctx, app, lambda _: wanted))


@click.command("ports:remove")
@click.argument("app")
@click.argument("maps", nargs=-1, required=True, metavar="HOST-PORT|SCHEME:HOST-PORT:CONTAINER-PORT...")
@click.pass_obj
def remove(ctx: Context, app: str, maps: tuple[str, ...]) -> None:
    """Map these ports no longer."""
    ctx.state.apps.get(app)
    present = app_ports(ctx, app, ctx.state.releases.current(app))
    gone = [port for port in present if str(port) in maps or str(port.host) in maps]
    if len(gone) < len(set(maps)):
        raise NotFound(f"{app} does not map all of {' '.join(maps)}", remedy=f"see: paas ports:list {app}")
    if len(gone) == len(present):
        raise Conflict(f"{app} would have no port left", remedy=f"map another first: paas ports:add {app} http:8080:5000")
    _show(ctx, app, routes.change_ports(ctx, app, lambda now: [port for port in now if port not in gone]))


@click.command("ports:clear")
@click.argument("app")
@click.pass_obj
def clear(ctx: Context, app: str) -> None:
    """Map the detected ports again."""
    _show(ctx, app, routes.change_ports(ctx, app, lambda _: ()))


@click.command("ports:list")
@click.argument("app")
@format_option
@click.pass_obj
def list_ports(ctx: Context, app: str, style: str) -> None:
    """List the app's port maps."""
    ctx.state.apps.get(app)
    ports = app_ports(ctx, app, ctx.state.releases.current(app))
    if style == "json":
        print_json(ctx.output, [{"scheme": p.scheme, "host-port": p.host, "container-port": p.container} for p in ports])
    else:
        _show(ctx, app, ports)


def _report(ctx: Context, app: str) -> dict[str, str]:
    release = ctx.state.releases.current(app)
    return {
        "ports-map": " ".join(map(str, ctx.state.routes.ports(app))),
        "ports-computed-map": " ".join(map(str, app_ports(ctx, app, release))),
        "ports-exposed": " ".join(map(str, release.ports)) if release else "",
    }


def _show(ctx: Context, app: str, ports: tuple[PortMap, ...]) -> None:
    ctx.output.step(f"Port mappings for {app}")
    rows = [(port.scheme, str(port.host), str(port.container)) for port in ports]
    for line in table(("scheme", "host port", "container port"), rows):
        ctx.output.detail(line)


COMMANDS: tuple[click.Command, ...] = (
    add, set_ports, remove, clear, list_ports,
    report_command("ports", "Show the app's port maps, set and detected.", _report),
)  # fmt: skip
