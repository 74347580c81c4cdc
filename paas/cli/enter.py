"""`enter`: a shell, or another command, in a running container."""

from __future__ import annotations

import os

import click

from paas.cli.common import after_dashes
from paas.context import Context
from paas.deploy.intent import serving_now
from paas.errors import NotFound
from paas.model.container import LABEL_INDEX, LABEL_TYPE, Container
from paas.model.process import LAUNCHER

#: bash where the image has it.
SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null && exec bash || exec sh")


@click.command("enter", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("app")
@click.argument("process", default="", metavar="[TYPE[.N]]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, callback=after_dashes)
@click.pass_obj
def enter(ctx: Context, app: str, process: str, command: tuple[str, ...]) -> int:
    """Run a shell or a command in a running container of the app, by default web.1."""
    container = _find(ctx, app, process)
    has_terminal = os.isatty(0) and os.isatty(1)
    env = {"TERM": os.environ.get("TERM", "xterm")} if has_terminal else {}
    argv = (*launcher_of(ctx.engine.image_entrypoint(container.image)), *(command or SHELL))
    return ctx.engine.exec(container.id, argv, env=env, has_terminal=has_terminal)


def launcher_of(entrypoint: tuple[str, ...]) -> tuple[str, ...]:
    """Return what gives a command the environment of its process: on a buildpack image its launcher. Pure."""
    return (LAUNCHER, "--") if entrypoint == (LAUNCHER,) else ()


def _find(ctx: Context, app: str, process: str) -> Container:
    serving = sorted(serving_now(ctx, ctx.state.apps.get(app)), key=lambda c: (c.labels[LABEL_TYPE] != "web", c.name))
    for container in serving:
        kind, index = container.labels[LABEL_TYPE], container.labels[LABEL_INDEX]
        if process in ("", kind, f"{kind}.{index}") or container.id.startswith(process):
            return container
    running = ", ".join(f"{c.labels[LABEL_TYPE]}.{c.labels[LABEL_INDEX]}" for c in serving) or "none"
    raise NotFound(f"{app} has no running process {process}".rstrip(), remedy=f"running: {running}")


COMMANDS: tuple[click.Command, ...] = (enter,)
