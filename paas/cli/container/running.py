"""`container:run|create|start|exec|attach`: Docker's flags -> a ContainerSpec, and a container on our own streams."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from paas.cli.buildwords import caller_environment
from paas.cli.container.asked import spec_for
from paas.cli.container.flags import parse_environment
from paas.cli.container.life import for_each
from paas.cli.container.options import DOCKERLIKE, DockerCommand, container_options, refused_options
from paas.context import Context
from paas.engines import Stdio
from paas.errors import InvalidInput, NotFound, PaasError
from paas.model.restart import NEVER, parse_restart_policy
from paas.oci.registry import pull_image
from paas.oci.skopeo import Registries
from paas.oci.store import ImageStore

_REFUSED = {
    "-d": ("the command would write to nobody", "let a shell do it: container:exec BOX sh -c 'COMMAND >/dev/null 2>&1 &'"),
    "--detach": ("the command would write to nobody", "let a shell do it: container:exec BOX sh -c 'COMMAND >/dev/null 2>&1 &'"),
    "--privileged": ("no container gets the rights of the machine's root", "leave it out; -u 0 is the container's root"),
}


@click.command("container:run", cls=DockerCommand, context_settings=DOCKERLIKE)
@click.option("-d", "--detach", is_flag=True, help="run in the background and print the id")
@click.option("--rm", "is_removed", is_flag=True, help="remove it when it ends")
@container_options
@click.pass_obj
def run(ctx: Context, /, detach: bool, is_removed: bool, **options: Any) -> int:
    """Run a command in a new container."""
    _fetch(ctx, options["image"], options["pull"])
    spec = spec_for(ctx, options)
    if is_removed and parse_restart_policy(spec.restart) != NEVER:
        raise InvalidInput("--rm and --restart contradict each other", remedy="leave one of them out")
    if spec.has_terminal and not detach and not os.isatty(0):
        raise _no_terminal()
    stdio = _stdio(is_interactive=spec.keeps_stdin or spec.has_terminal)
    if is_removed and not detach:
        return ctx.engine.run(spec, stdio, passes_signals=True)
    container = ctx.engine.create(replace(spec, is_removed_at_end=is_removed))
    if not detach:
        return ctx.engine.start_attached(container.id, stdio=stdio)
    try:
        ctx.engine.start(container.id)
    except PaasError:
        if is_removed:
            ctx.engine.remove(container.id, is_forced=True)
        raise
    ctx.output.plain(container.id)
    return 0


@click.command("container:create", cls=DockerCommand, context_settings=DOCKERLIKE)
@container_options
@click.pass_obj
def create(ctx: Context, /, **options: Any) -> None:
    """Make a container without starting it and print its id."""
    _fetch(ctx, options["image"], options["pull"])
    ctx.output.plain(ctx.engine.create(spec_for(ctx, options)).id)


@click.command("container:start")
@click.option("-a", "--attach", "is_attached", is_flag=True, help="show what it writes until it stops; its exit code is ours")
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on as well")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def start(ctx: Context, is_attached: bool, interactive: bool, containers: Sequence[str]) -> int:
    """Start containers again."""
    if not is_attached and not interactive:
        for_each(ctx, containers, ctx.engine.start)
        return 0
    if len(containers) > 1:
        raise InvalidInput("Only one container can be attached to", remedy=f"paas container:start -a {containers[0]}")
    return ctx.engine.start_attached(containers[0], stdio=_stdio(is_interactive=interactive))


def _fetch(ctx: Context, image: str, pull: str) -> None:
    """Get the image from its registry, if `--pull` says so. Raises HostProblem, InvalidInput."""
    if pull == "never":
        return
    store = ImageStore(ctx.paths.images)
    with contextlib.suppress(NotFound):
        if pull == "missing" and store.image(image):
            return
    registries = Registries.of(ctx.paths, ctx.settings)
    pull_image(store, image, registries=registries, on_line=lambda line: click.echo(line, err=True))


@click.command("container:exec", cls=DockerCommand, context_settings=DOCKERLIKE)
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on")
@click.option("-t", "--tty", is_flag=True, help="give it a terminal")
@click.option("-e", "--env", multiple=True, metavar="KEY=VALUE", help="set a variable")
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="set the variables in a file")
@click.option("-w", "--workdir", default="", help="working directory")
@click.option("-u", "--user", default="", help="name or uid, with :group")
@refused_options(_REFUSED, flags=_REFUSED)
@click.argument("container")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(
    ctx: Context, interactive: bool, tty: bool, env: Sequence[str], env_files: Sequence[str], workdir: str, user: str,
    container: str, argv: Sequence[str],
) -> int:
    """Run one more command in a running container."""
    if tty and not os.isatty(0):
        raise _no_terminal()
    return ctx.engine.exec(
        container,
        argv,
        stdio=_stdio(is_interactive=interactive or tty),
        env=parse_environment(env_files, env, caller_environment(os.environ)),
        user=user,
        workdir=workdir,
        has_terminal=tty,
    )


@click.command("container:attach")
@click.argument("container")
@click.pass_obj
def attach(ctx: Context, container: str) -> int:
    """Join a running container's streams until it stops; its exit code is ours."""
    return ctx.engine.attach(container)


def _no_terminal() -> InvalidInput:
    return InvalidInput("-t needs a terminal, and stdin is none", remedy="leave -t out, or use ssh -t")


def _stdio(*, is_interactive: bool) -> Stdio:
    return Stdio() if is_interactive else Stdio(stdin=os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
