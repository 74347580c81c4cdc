"""`run`: one-off commands in a new container of the current release."""

from __future__ import annotations

import os

import click

from paas.context import Context
from paas.deploy import tasks
from paas.errors import NotFound
from paas.model.container import KIND_RUN, LABEL_APP, LABEL_KIND, Container
from paas.model.env import parse_assignments

_COMMAND = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command("run", context_settings=_COMMAND)
@click.option("--env", "-e", "env", multiple=True, metavar="KEY=VALUE", help="one more config var")
@click.option("--no-tty", is_flag=True, help="no terminal, even if there is one")
@click.argument("app")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run(ctx: Context, app: str, env: tuple[str, ...], no_tty: bool, command: tuple[str, ...]) -> int:
    """Run a command in a new container of the app; its exit code is ours."""
    has_terminal = not no_tty and os.isatty(0) and os.isatty(1)
    return tasks.run_oneoff(ctx, app, command, env=parse_assignments(env), has_terminal=has_terminal)


@click.command("run:detached", context_settings=_COMMAND)
@click.option("--env", "-e", "env", multiple=True, metavar="KEY=VALUE", help="one more config var")
@click.argument("app")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run_detached(ctx: Context, app: str, env: tuple[str, ...], command: tuple[str, ...]) -> None:
    """Run a command in the background; prints its container's name."""
    container = tasks.run_detached(ctx, app, command, env=parse_assignments(env))
    ctx.output.plain(container.name)


@click.command("run:list")
@click.argument("app")
@click.pass_obj
def run_list(ctx: Context, app: str) -> None:
    """List the app's one-off containers."""
    ctx.state.apps.get(app)
    ctx.output.milestone(f"{app} run containers")
    for container in _oneoffs(ctx, app):
        ended = f" (exit {container.exit_code})" if container.exit_code is not None else ""
        ctx.output.plain(f"{container.name} {container.status}{ended} {' '.join(container.argv)}")


@click.command("run:logs")
@click.argument("app")
@click.argument("container", default="")
@click.pass_obj
def run_logs(ctx: Context, app: str, container: str) -> None:
    """Show what a detached one-off wrote, by default the newest."""
    for line in ctx.engine.logs(_find(ctx, app, container).id):
        ctx.output.plain(line.text)


@click.command("run:stop")
@click.argument("app")
@click.argument("container", default="")
@click.pass_obj
def run_stop(ctx: Context, app: str, container: str) -> None:
    """Stop and remove one-offs of the app, all or the one named."""
    chosen = (_find(ctx, app, container),) if container else _oneoffs(ctx, app)
    for one in chosen:
        ctx.output.step(f"Stopping {one.name}")
        ctx.engine.stop(one.id)
        ctx.engine.remove(one.id, is_forced=True)


def _oneoffs(ctx: Context, app: str) -> tuple[Container, ...]:
    ctx.state.apps.get(app)
    return ctx.engine.list({LABEL_APP: app, LABEL_KIND: KIND_RUN})


def _find(ctx: Context, app: str, name: str) -> Container:
    found = [one for one in _oneoffs(ctx, app) if not name or one.name == name or one.id.startswith(name)]
    if not found:
        raise NotFound(f"{app} has no one-off container {name}".rstrip(), remedy=f"see: paas run:list {app}")
    return found[-1]


COMMANDS: tuple[click.Command, ...] = (run, run_detached, run_list, run_logs, run_stop)
