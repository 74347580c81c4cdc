"""`run`: one-off commands in a new container of the current release."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from paas.cli.common import after_dashes, format_option, print_json
from paas.cli.readable import local_time, table
from paas.context import Context
from paas.deploy import tasks
from paas.deploy.tasks import DEFAULT_TTL_S
from paas.engines.embedded.logs import follow_log, read_log
from paas.errors import NotFound
from paas.model.container import LABEL_DEADLINE, LABEL_RELEASE, Container
from paas.model.env import parse_assignments

_COMMAND = {"allow_interspersed_args": False}  # what stands behind the app is the command's own
_env_option = click.option("--env", "-e", "env", multiple=True, metavar="KEY=VALUE", help="one more config var")
_ttl_option = click.option(
    "--ttl", "--ttl-seconds", "ttl_s", type=click.IntRange(1, 31_536_000), default=DEFAULT_TTL_S, show_default=True,
    help="stop it after so long",
)  # fmt: skip


@click.command("run", context_settings=_COMMAND)
@_env_option
@_ttl_option
@click.option("--no-tty", is_flag=True, help="no terminal, even if there is one")
@click.argument("app")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, callback=after_dashes)
@click.pass_obj
def run(ctx: Context, app: str, env: tuple[str, ...], ttl_s: int, no_tty: bool, command: tuple[str, ...]) -> int:
    """Run a command, or a process type of the Procfile, in a new container of the app; its exit code is ours."""
    has_terminal = not no_tty and os.isatty(0) and os.isatty(1)
    return tasks.run_oneoff(ctx, app, command, env=parse_assignments(env), has_terminal=has_terminal, ttl_s=ttl_s)


@click.command("run:detached", context_settings=_COMMAND)
@_env_option
@_ttl_option
@click.option("--no-tty", is_flag=True, help="as ever: it has no terminal")
@click.argument("app")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, callback=after_dashes)
@click.pass_obj
def run_detached(ctx: Context, app: str, env: tuple[str, ...], ttl_s: int, no_tty: bool, command: tuple[str, ...]) -> None:
    """Run a command in the background; prints its container's name."""
    container = tasks.run_detached(ctx, app, command, env=parse_assignments(env), ttl_s=ttl_s)
    ctx.output.plain(container.name)


@click.command("run:list")
@click.argument("app")
@format_option
@click.pass_obj
def run_list(ctx: Context, app: str, style: str) -> None:
    """List the app's one-off containers: those that run, and those that ended within the last hour."""
    found = [_described(container) for container in tasks.oneoffs(ctx, app)]
    if style == "json":
        print_json(ctx.output, found)
        return
    rows = [
        (str(one["name"]), str(one["status"]), "" if one["exit-code"] is None else str(one["exit-code"]),
         local_time(float(str(one["started-at"]))) if one["started-at"] else "", str(one["command"]))
        for one in found
    ]  # fmt: skip
    for line in table(("NAME", "STATUS", "EXIT", "STARTED", "COMMAND"), rows):
        ctx.output.plain(line)


@click.command("run:logs")
@click.argument("app")
@click.argument("container", default="", metavar="[NAME]")
@click.option("--tail", "-t", "follow", is_flag=True, help="go on until it has ended")
@click.option("--num", "-n", "count", type=click.IntRange(0, 1_000_000), default=0, help="how many of the last lines; 0: all")
@click.pass_obj
def run_logs(ctx: Context, app: str, container: str, follow: bool, count: int) -> None:
    """Show what a detached one-off wrote, by default the newest; also some time after its container is gone."""
    log = _find_log(ctx, app, container)

    def is_over() -> bool:
        return not any(one.is_running and one.log_path == log for one in tasks.oneoffs(ctx, app))

    lines = follow_log(log, lines=count, is_over=is_over, sleep=ctx.sleep) if follow else read_log(log, lines=count)
    for line in lines:
        ctx.output.plain(line.text)
        if not ctx.output.has_reader:
            return


@click.command("run:stop")
@click.argument("app")
@click.argument("container", default="", metavar="[NAME]")
@click.pass_obj
def run_stop(ctx: Context, app: str, container: str) -> None:
    """Stop and remove one-offs of the app, all or the one named."""
    chosen = (_find(ctx, app, container),) if container else tasks.oneoffs(ctx, app)
    for one in chosen:
        ctx.output.step(f"Stopping {one.name}")
        tasks.stop_oneoff(ctx, one)
    if not chosen:
        ctx.output.detail(f"nothing to do: no one-off of {app} runs")


def _described(container: Container) -> Mapping[str, object]:
    return {
        "name": container.name, "id": container.id, "status": container.status, "exit-code": container.exit_code,
        "command": " ".join(container.argv), "release": int(container.labels[LABEL_RELEASE]),
        "started-at": container.started_at, "finished-at": container.finished_at,
        "stopped-at-latest": int(container.labels.get(LABEL_DEADLINE, "0")) or None,
    }  # fmt: skip


def _find(ctx: Context, app: str, name: str) -> Container:
    found = [one for one in tasks.oneoffs(ctx, app) if one.name == name or one.id.startswith(name)]
    if not found:
        raise NotFound(f"{app} has no one-off container {name}", remedy=f"see: paas run:list {app}")
    return found[-1]


def _find_log(ctx: Context, app: str, name: str) -> Path:
    """Return the log of the one-off of that name or id, or of the newest. Raises NotFound."""
    known = {one.id: one for one in tasks.oneoffs(ctx, app)}
    names = {name, *(one.name for one in known.values() if name and one.id.startswith(name))}
    logs = sorted(ctx.paths.oneoff_log(app, "x").parent.glob("*.log"), key=lambda file: file.stat().st_mtime)
    found = [log for log in logs if not name or log.stem in names]
    if not found:
        raise NotFound(f"{app} has no log of a detached one-off {name}".rstrip(), remedy=f"see: paas run:list {app}")
    return found[-1]


COMMANDS: tuple[click.Command, ...] = (run, run_detached, run_list, run_logs, run_stop)
