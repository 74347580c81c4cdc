"""`domains:*`: the names at which an app answers."""

from __future__ import annotations

import click

from paas.cli.common import REPORT, format_option, print_report
from paas.context import Context
from paas.deploy import routes
from paas.deploy.routing import app_domains
from paas.errors import NotFound
from paas.model.route import parse_domain


@click.command("domains:add")
@click.argument("app")
@click.argument("domains", nargs=-1, required=True)
@click.pass_obj
def add(ctx: Context, app: str, domains: tuple[str, ...]) -> None:
    """Let the app answer at more domains."""
    names = [parse_domain(name) for name in domains]
    routes.change_domains(ctx, app, lambda present: (*present, *names))
    _say(ctx, "Added", names, app)


@click.command("domains:remove")
@click.argument("app")
@click.argument("domains", nargs=-1, required=True)
@click.pass_obj
def remove(ctx: Context, app: str, domains: tuple[str, ...]) -> None:
    """Let the app no longer answer at these domains."""
    names = [parse_domain(name) for name in domains]
    ctx.state.apps.get(app)
    unknown = [name for name in names if name not in app_domains(ctx, app)]
    if unknown:
        raise NotFound(f"{app} does not answer at {', '.join(unknown)}", remedy=f"see: paas domains:report {app}")
    routes.change_domains(ctx, app, lambda present: [name for name in present if name not in names])
    _say(ctx, "Removed", names, app)


@click.command("domains:set")
@click.argument("app")
@click.argument("domains", nargs=-1, required=True)
@click.pass_obj
def set_domains(ctx: Context, app: str, domains: tuple[str, ...]) -> None:
    """Let the app answer at exactly these domains."""
    names = [parse_domain(name) for name in domains]
    routes.change_domains(ctx, app, lambda _: names)
    _say(ctx, "Set", names, app)


@click.command("domains:clear")
@click.argument("app")
@click.pass_obj
def clear(ctx: Context, app: str) -> None:
    """Let the app answer at its default domain again."""
    routes.change_domains(ctx, app, lambda _: ())
    _say(ctx, "Set", app_domains(ctx, app), app)


@click.command("domains:report", context_settings=REPORT)
@click.argument("app", default="")
@click.argument("only", default="")
@format_option
@click.pass_obj
def report(ctx: Context, app: str, only: str, style: str) -> None:
    """Show the app's domains, or those of all apps."""
    names = [ctx.state.apps.get(app).name] if app else [one.name for one in ctx.state.apps.list()]
    for name in names:
        found = {
            "domains-app-vhosts": " ".join(app_domains(ctx, name)),
            "domains-app-own": " ".join(ctx.state.routes.domains(name)),
            "domains-global-vhosts": " ".join(ctx.state.routes.domains("") or (ctx.settings.domain,)),
        }
        print_report(ctx.output, f"{name} domains information", found, style=style, only=only)


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
    add, remove, set_domains, clear, report, set_global, add_global, remove_global, clear_global,
)  # fmt: skip
