"""`docker-options:*`: flags of `docker build` and `docker run` for an app's builds and containers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

import click

from paas.builders.dockerfile.options import parse_options
from paas.cli.common import format_option, print_json, report_command
from paas.context import Context
from paas.deploy.shape import change_shape
from paas.errors import InvalidInput, NotFound, PermissionRefused, UsageError
from paas.model.dockeroptions import BUILD, DEPLOY, PHASES, TOPIC, parse_container_options
from paas.model.process import PROCESS_TYPE

_VERBATIM = {"ignore_unknown_options": True, "allow_interspersed_args": False}
process_option = click.option("--process", default="", metavar="TYPE", help="for this process type alone (phase deploy)")


def _command(verb: str, doc: str, edit: Callable[[tuple[str, ...], str], tuple[str, ...]]) -> click.Command:
    """Return `docker-options:add` or `docker-options:remove`."""

    @click.command(f"docker-options:{verb}", help=doc, context_settings=_VERBATIM)
    @process_option
    @click.option("--no-restart", is_flag=True, help="with the next release only")
    @click.argument("app")
    @click.argument("phases", metavar="PHASE[,PHASE]")
    @click.argument("words", nargs=-1, required=True, metavar="OPTION...", type=click.UNPROCESSED)
    @click.pass_obj
    def command(ctx: Context, process: str, no_restart: bool, app: str, phases: str, words: tuple[str, ...]) -> None:
        option = (words[0] if len(words) == 1 else shlex.join(words)).strip()
        keys = _keys(phases, process)
        if verb == "add":
            _refuse_unknown_type(ctx, app, process)
        _check(ctx, app, phases.split(","), option)

        def change(before: Mapping[str, str]) -> dict[str, str]:
            return {**before, **{key: "\n".join(edit(_lines(before, key), option)) for key in keys}}

        restart = not no_restart and keys != (BUILD,)
        cause = f"docker-options:{verb} {phases} {' '.join(flags_of(option))}"
        is_changed = change_shape(ctx, app, TOPIC, change, cause=cause, restart=restart)
        if not is_changed and verb == "remove":
            raise NotFound(f"{app} has no such option: {option}", remedy=f"see: paas docker-options:report {app}")
        said = ("Added" if verb == "add" else "Removed") if is_changed else "Nothing to change:"
        ctx.output.step(f"{said} {option} ({', '.join(keys)})")

    return command


def flags_of(option: str) -> tuple[str, ...]:
    """Return the flags without their values: those may be secrets, and what a release was made for is shown to everybody."""
    words = (word.partition("=")[0] for word in shlex.split(option) if word.startswith("-"))
    return tuple(word if word.startswith("--") else word[:2] for word in words)


def _add(lines: tuple[str, ...], option: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*lines, option)))


def _remove(lines: tuple[str, ...], option: str) -> tuple[str, ...]:
    return tuple(line for line in lines if line != option)


@click.command("docker-options:clear")
@process_option
@click.option("--no-restart", is_flag=True, help="with the next release only")
@click.argument("app")
@click.argument("phases", default="", metavar="[PHASE,...]")
@click.pass_obj
def clear(ctx: Context, process: str, no_restart: bool, app: str, phases: str) -> None:
    """Remove all options, or those of phases."""
    keys = _keys(phases, process) if phases or process else ()

    def change(before: Mapping[str, str]) -> dict[str, str]:
        return {key: value for key, value in before.items() if keys and key not in keys}

    restart = not no_restart and keys != (BUILD,)
    is_changed = change_shape(ctx, app, TOPIC, change, cause=f"docker-options:clear {phases}".rstrip(), restart=restart)
    said = "Cleared the options" if is_changed else "Nothing to change: no options"
    ctx.output.step(f"{said} of {app} ({', '.join(keys) or 'all phases'})")


@click.command("docker-options:list")
@process_option
@click.option("--phase", type=click.Choice(PHASES), default=DEPLOY, help="deploy unless given")
@format_option
@click.argument("app")
@click.pass_obj
def list_options(ctx: Context, process: str, phase: str, style: str, app: str) -> None:
    """List the options of a phase, one a line."""
    ctx.state.apps.get(app)
    found = _lines(ctx.state.properties.get(app, TOPIC), _keys(phase, process)[0])
    if style == "json":
        print_json(ctx.output, found)
        return
    for line in found:
        ctx.output.plain(line)


def _refuse_unknown_type(ctx: Context, app: str, process: str) -> None:
    release = ctx.state.releases.current(app)
    if process and release is not None and release.process(process) is None:
        known = ", ".join(one.name for one in release.processes)
        raise InvalidInput(f"{process} is not a process type of {app}", remedy=f"it has: {known}")


def _keys(phases: str, process: str) -> tuple[str, ...]:
    """Return the properties of these phases. Raises UsageError, InvalidInput."""
    names = tuple(dict.fromkeys(filter(None, phases.split(",")))) or ((DEPLOY,) if process else ())
    unknown = [name for name in names if name not in PHASES]
    if unknown or not names:
        raise UsageError(f"'{phases}' is no phase", remedy=f"there are: {', '.join(PHASES)}; several apart by commas")
    if not process:
        return names
    if names != (DEPLOY,):
        raise UsageError("Only the phase deploy has options of a process type", remedy="leave --process out")
    if not PROCESS_TYPE.match(process):
        raise InvalidInput(f"'{process}' is not a process type", remedy="e.g. --process web")
    return (f"{DEPLOY}.{process}",)


def _check(ctx: Context, app: str, phases: list[str], option: str) -> None:
    """Refuse what the phases do not know, and what reaches the machine from everybody but root."""
    ctx.state.apps.get(app)
    if BUILD in phases:
        parse_options(option, ctx.state.config.merged(app))
    if {BUILD} != set(phases):
        options = parse_container_options(option)
        if options.reaches_host and not ctx.identity.is_admin:
            raise PermissionRefused(
                "Directories of the machine and named volumes are for root to give",
                remedy=f"on the machine: sudo paas docker-options:add {app} {','.join(phases)} '{option}'",
            )


def _lines(properties: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(filter(None, properties.get(key, "").split("\n")))


def _report(ctx: Context, app: str) -> dict[str, str]:
    properties = ctx.state.properties.get(app, TOPIC)
    keys = (*PHASES, *sorted(key for key in properties if key not in PHASES))
    return {f"docker-options-{key}": " ".join(_lines(properties, key)) for key in keys}


COMMANDS: tuple[click.Command, ...] = (
    _command("add", "Give builds or containers an option of docker's, e.g. deploy '--shm-size 256m'.", _add),
    _command("remove", "Take an option back, as it was given.", _remove),
    clear, list_options,
    report_command("docker-options", "Show the options of all phases.", _report),
)  # fmt: skip
