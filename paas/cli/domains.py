"""`domains:*`: the names at which an app answers."""

from __future__ import annotations

import click

from paas.cli.common import process_option, report_command
from paas.context import Context
from paas.deploy import routes
from paas.deploy.routing import app_domains, vhost_for
from paas.errors import Conflict, NotFound
from paas.model.process import WEB
from paas.model.route import parse_domain


@click.command("domains:add")
@click.argument("app")
@click.argument("domains", nargs=-1, required=True)
@process_option
@click.pass_obj
def add(ctx: Context, app: str, domains: tuple[str, ...], process: str) -> None:
    """Let the app, or one of its process types, answer at more domains."""
    names = [parse_domain(name) for name in domains]
    routes.change_domains(ctx, app, lambda present: (*present, *names), process=process)
    _say(ctx, "Added", names, app)


@click.command("domains:remove")
@click.argument("app")
@click.argument("domains", nargs=-1, required=True)
@process_option
@click.pass_obj
def remove(ctx: Context, app: str, domains: tuple[str, ...], process: str) -> None:
    """Let the app no longer answer at these domains."""
    names = [parse_domain(name) for name in domains]
    ctx.state.apps.get(app)
    present = app_domains(ctx, app) if process == WEB else ctx.state.routes.domains(app, process)
    unknown = [name for name in names if name not in present]
    if unknown:
        raise NotFound(f"{app} does not answer at {', '.join(unknown)}", remedy=f"see: paas domains:report {app}")
    routes.change_domains(ctx, app, lambda now: _without(now, names, app, process), process=process)
    _say(ctx, "Removed", names, app)


def _without(present: tuple[str, ...], names: list[str], app: str, process: str) -> list[str]:
    left = [name for name in present if name not in names]
    if not left and process == WEB:  # none recorded means the default domain: the app would go on answering there
        raise Conflict(f"{app} would have no domain left", remedy=f"name another first: paas domains:set {app} <domain>")
    return left


@click.command("domains:set")
@click.argument("app")
@click.argument("domains", nargs=-1, required=True)
@process_option
@click.pass_obj
def set_domains(ctx: Context, app: str, domains: tuple[str, ...], process: str) -> None:
    """Let the app answer at exactly these domains."""
    names = [parse_domain(name) for name in domains]
    routes.change_domains(ctx, app, lambda _: names, process=process)
    _say(ctx, "Set", names, app)


@click.command("domains:clear")
@click.argument("app")
@process_option
@click.pass_obj
def clear(ctx: Context, app: str, process: str) -> None:
    """Let the app answer at its default domain again."""
    routes.change_domains(ctx, app, lambda _: (), process=process)
    _say(ctx, "Set", _names_of(ctx, app, process), app)


def _names_of(ctx: Context, app: str, process: str) -> tuple[str, ...]:
    vhost = vhost_for(ctx, app, ctx.state.releases.current(app))
    return vhost.domains if process == WEB else dict(vhost.own_domains).get(process, ())


def _report(ctx: Context, app: str) -> dict[str, str]:
    return {
        "domains-app-vhosts": " ".join(app_domains(ctx, app)),
        "domains-app-own": " ".join(ctx.state.routes.domains(app)),
        "domains-process-vhosts": " ".join(
            f"{process}={','.join(names)}" for process, names in vhost_for(ctx, app, ctx.state.releases.current(app)).own_domains
        ),
        "domains-global-vhosts": " ".join(ctx.state.routes.domains("") or (ctx.settings.domain,)),
    }


@click.command("domains:set-global")
@click.argument("domains", nargs=-1, required=True)
@click.pass_obj
def set_global(ctx: Context, domains: tuple[str, ...]) -> None:
    """Let apps answer at <app>.<domain> for these domains."""
    names = [parse_domain(name) for name in domains]
    routes.change_global_domains(ctx, lambda _: names)
    _say(ctx, "Set", names)


@click.command("domains:add-global")
@click.argument("domains", nargs=-1, required=True)
@click.pass_obj
def add_global(ctx: Context, domains: tuple[str, ...]) -> None:
    """Let apps also answer at <app>.<domain> for these domains."""
    names = [parse_domain(name) for name in domains]
    routes.change_global_domains(ctx, lambda present: (*present, *names))
    _say(ctx, "Added", names)


@click.command("domains:remove-global")
@click.argument("domains", nargs=-1, required=True)
@click.pass_obj
def remove_global(ctx: Context, domains: tuple[str, ...]) -> None:
    """Let apps no longer answer at <app>.<domain> for these domains."""
    names = [parse_domain(name) for name in domains]
    routes.change_global_domains(ctx, lambda present: [name for name in present if name not in names])
    _say(ctx, "Removed", names)


@click.command("domains:clear-global")
@click.pass_obj
def clear_global(ctx: Context) -> None:
    """Let apps answer at <app>.<domain of the settings> again."""
    routes.change_global_domains(ctx, lambda _: ())
    _say(ctx, "Set", (ctx.settings.domain,))


def _say(ctx: Context, verb: str, names: list[str] | tuple[str, ...], app: str = "") -> None:
    for name in names:
        ctx.output.step(f"{verb} {name}" + (f" ({app})" if app else " (global)"))


COMMANDS: tuple[click.Command, ...] = (
    add, remove, set_domains, clear, set_global, add_global, remove_global, clear_global,
    report_command("domains", "Show the app's domains, or those of all apps.", _report),
)  # fmt: skip
