"""`resource:*`: what the processes of an app, and its builds, may use at most and get first."""

from __future__ import annotations

from collections.abc import Mapping

import click

from paas.cli.common import format_option, print_json, report_command
from paas.context import Context
from paas.deploy.shape import change_shape
from paas.errors import InvalidInput, UsageError
from paas.model.process import PROCESS_TYPE
from paas.model.resources import BUILD, LIMIT, NAMES, RESERVE, parse_resource, refuse_contradictions

_HELP = {
    "cpu": "cores, e.g. 0.5", "memory": "MiB, or with a unit: 512, 512m, 2g", "pids": "processes and threads",
    "memory-swap": "memory and swap together; -1: no limit",
}  # fmt: skip
_SAID = {LIMIT: "limits", RESERVE: "reservations"}


def _set_command(kind: str, doc: str) -> click.Command:
    """Return `resource:limit` or `resource:reserve`."""

    @click.command(f"resource:{kind}", help=doc)
    @click.argument("app", default="")
    @click.option("--process-type", default="", metavar="TYPE", help=f"for this type alone; {BUILD} for builds")
    @click.option("--global", "is_global", is_flag=True, help="for all apps")
    @click.option("--no-restart", is_flag=True, help="with the next release only")
    @format_option
    @click.pass_obj
    def command(
        ctx: Context, /, app: str, process_type: str, is_global: bool, no_restart: bool, style: str, **given: str | None
    ) -> None:
        _check_scope(ctx, app, process_type, is_global)
        values = {name: parse_resource(name, text) for name in NAMES[kind] if (text := given[name.replace("-", "_")]) is not None}
        if not values:
            _show(ctx, app, kind, process_type, style)
            return
        prefix = f"{kind}.{process_type}." if process_type else f"{kind}."

        def change(before: Mapping[str, str]) -> dict[str, str]:
            after = {**before, **{prefix + name: value for name, value in values.items()}}
            merged = {f"resource.{key}": value for key, value in {**ctx.state.properties.get("", "resource"), **after}.items()}
            refuse_contradictions(merged, process_type)
            return after

        said = " ".join(f"{name}={value or 'none'}" for name, value in values.items())
        cause = f"resource:{kind} {process_type + ' ' if process_type else ''}{said}"
        restart = not no_restart and process_type != BUILD
        is_changed = change_shape(ctx, app, "resource", change, cause=cause, restart=restart)
        ctx.output.step(f"{'Set' if is_changed else 'Nothing to change:'} {said}" + (f" for {app}" if app else " for all apps"))

    for name in reversed(NAMES[kind]):
        command = click.option(f"--{name}", default=None, help=_HELP[name])(command)
    return command


def _clear_command(kind: str, doc: str) -> click.Command:
    """Return `resource:limit-clear` or `resource:reserve-clear`."""

    @click.command(f"resource:{kind}-clear", help=doc)
    @click.argument("app", default="")
    @click.option("--process-type", default="", metavar="TYPE", help="those of this type alone")
    @click.option("--global", "is_global", is_flag=True, help="for all apps")
    @click.option("--no-restart", is_flag=True, help="with the next release only")
    @click.pass_obj
    def command(ctx: Context, app: str, process_type: str, is_global: bool, no_restart: bool) -> None:
        _check_scope(ctx, app, process_type, is_global)
        prefix = f"{kind}.{process_type}." if process_type else f"{kind}."

        def change(before: Mapping[str, str]) -> dict[str, str]:
            return {key: value for key, value in before.items() if not key.startswith(prefix)}

        cause = f"resource:{kind}-clear {process_type}".rstrip()
        restart = not no_restart and process_type != BUILD
        is_changed = change_shape(ctx, app, "resource", change, cause=cause, restart=restart)
        said = f"Cleared the {_SAID[kind]}" if is_changed else f"Nothing to change: no {_SAID[kind]}"
        ctx.output.step(f"{said} of {process_type + ' of ' if process_type else ''}{app or 'all apps'}")

    return command


def _check_scope(ctx: Context, app: str, process_type: str, is_global: bool) -> None:
    if bool(app) == is_global:
        raise UsageError("Name one app, or give --global", remedy="e.g. paas resource:limit --memory 512 shop")
    if app:
        ctx.state.apps.get(app)
    if not process_type:
        return
    release = ctx.state.releases.current(app) if app else None
    known = [process.name for process in release.processes] if release else []
    if not PROCESS_TYPE.match(process_type) or (release and process_type not in (*known, BUILD, "run")):
        raise InvalidInput(
            f"{process_type} is not a process type of {app or 'any app'}", remedy=f"it has: {', '.join((*known, BUILD, 'run'))}"
        )


def _show(ctx: Context, app: str, kind: str, process_type: str, style: str) -> None:
    properties = ctx.state.properties.get(app, "resource")
    prefix = f"{kind}.{process_type}." if process_type else f"{kind}."
    found = {name: properties.get(prefix + name, "") for name in NAMES[kind]}
    if style == "json":
        print_json(ctx.output, found)
        return
    ctx.output.step(f"Resource {kind}s of {app or 'all apps'}{' ' + process_type if process_type else ''}")
    for name, value in found.items():
        ctx.output.detail(f"{name}: {value}".rstrip())


def _report(ctx: Context, app: str) -> dict[str, str]:
    release = ctx.state.releases.current(app)
    running = release.properties if release else {}
    found = {}
    for key, value in sorted({**ctx.state.properties.get("", "resource"), **ctx.state.properties.get(app, "resource")}.items()):
        kind, _, rest = key.partition(".")
        owner, _, name = rest.rpartition(".")
        waits = running.get(f"resource.{key}") != value and owner != BUILD
        found[f"resource-{owner or '_default_'}.{kind}.{name}"] = f"{value}{' (with the next release)' if waits else ''}"
    return found


COMMANDS: tuple[click.Command, ...] = (
    _set_command(LIMIT, "Limit what processes may use; without a value, show the limits."),
    _clear_command(LIMIT, "Forget the limits of a process type, or all."),
    _set_command(RESERVE, "Reserve what processes get first; without a value, show what is reserved."),
    _clear_command(RESERVE, "Forget what is reserved for a process type, or all."),
    report_command("resource", "Show limits and reservations by process type.", _report),
)
