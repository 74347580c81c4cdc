"""`container:run|create|exec|attach`: Docker's flags -> a ContainerSpec, and a container on our own streams."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from paas.cli.container.flags import parse_environment, parse_publish, parse_span
from paas.context import Context
from paas.engines import Stdio
from paas.errors import InvalidInput, PaasError
from paas.model.container import ContainerSpec, Limits, NetworkMode
from paas.model.dockerflags import parse_labels, parse_mount, parse_size, parse_tmpfs, parse_volume
from paas.model.health import HealthCheck
from paas.model.restart import NEVER, parse_restart_policy

#: What follows the image belongs to the command inside; -h is the host name here, as in Docker.
_DOCKERLIKE = {"allow_interspersed_args": False, "help_option_names": ["--help"]}
#: Docker's name for a network of its own.
_NETWORKS = {"bridge": "tenant", "default": "tenant"}

_OPTIONS = (
    click.option("-i", "--interactive", is_flag=True, help="pass stdin on"),
    click.option("-t", "--tty", is_flag=True, help="give it a terminal"),
    click.option("--name", default="", help="what to call it"),
    click.option("-e", "--env", multiple=True, metavar="KEY=VALUE", help="set a variable"),
    click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="set the variables in a file"),
    click.option("-v", "--volume", multiple=True, metavar="[SOURCE:]TARGET[:ro]", help="a host directory or a volume inside"),
    click.option("--mount", multiple=True, metavar="type=...,source=...,target=...", help="the same, spelled out"),
    click.option("--tmpfs", multiple=True, metavar="TARGET[:size=64m]", help="memory as a directory"),
    click.option("-p", "--publish", multiple=True, metavar="[[ADDRESS:]HOST:]CONTAINER", help="a host port that leads to it"),
    click.option("-P", "--publish-all", is_flag=True, help="publish every port that the image exposes"),
    click.option("-m", "--memory", default="0", help="memory limit, e.g. 256m"),
    click.option("--memory-swap", default="", help="memory and swap together"),
    click.option("--cpus", default=0.0, type=click.FloatRange(min=0), help="cpu limit in cores, e.g. 0.5"),
    click.option("--pids-limit", default=0, type=click.IntRange(min=0), help="number of processes it may have"),
    click.option("--network", default="tenant", help="tenant (its own, the default), none or host"),
    click.option("-w", "--workdir", default="", help="working directory"),
    click.option("-u", "--user", default="", help="name or uid, with :group"),
    click.option("-h", "--hostname", default="", help="its host name"),
    click.option("--entrypoint", default=None, help="run this instead of the image's entrypoint"),
    click.option("--read-only", is_flag=True, help="no writing but to mounts"),
    click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="mark it"),
    click.option("--restart", "policy", default="no", help="no, always, unless-stopped, on-failure[:times]"),
    click.option("--stop-signal", default="", help="what asks it to stop"),
    click.option("--stop-timeout", default=-1.0, type=float, help="seconds before SIGKILL"),
    click.option("--init/--no-init", default=True, help="a small init as process 1; on by default"),
    click.option("--health-cmd", default="", help="shell command that fails when it is not well"),
    click.option("--health-interval", default="0", help="between two checks, e.g. 30s"),
    click.option("--health-timeout", default="0", help="for one check, e.g. 5s"),
    click.option("--health-start-period", default="0", help="failures count only afterwards, e.g. 1m"),
    click.option("--health-start-interval", default="0", help="between two checks in the start period"),
    click.option("--health-retries", default=0, type=click.IntRange(min=0), help="failures in a row that make it unhealthy"),
    click.option("--no-healthcheck", is_flag=True, help="ignore the image's health check"),
    click.argument("image"),
    click.argument("argv", nargs=-1, type=click.UNPROCESSED),
)


def _container_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("container:run", context_settings=_DOCKERLIKE)
@click.option("-d", "--detach", is_flag=True, help="run in the background and print the id")
@click.option("--rm", "is_removed", is_flag=True, help="remove it when it ends")
@_container_options
@click.pass_obj
def run(ctx: Context, /, detach: bool, is_removed: bool, **options: Any) -> int:
    """Run a command in a new container."""
    spec = spec_for(ctx, options)
    if is_removed and parse_restart_policy(spec.restart) != NEVER:
        raise InvalidInput("--rm and --restart contradict each other", remedy="leave one of them out")
    if spec.has_terminal and not detach and not os.isatty(0):
        raise _no_terminal()
    stdio = _stdio(is_interactive=spec.keeps_stdin or spec.has_terminal)
    if is_removed and not detach:
        return ctx.engine.run(spec, stdio)
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


@click.command("container:create", context_settings=_DOCKERLIKE)
@_container_options
@click.pass_obj
def create(ctx: Context, /, **options: Any) -> None:
    """Make a container without starting it and print its id."""
    ctx.output.plain(ctx.engine.create(spec_for(ctx, options)).id)


def spec_for(ctx: Context, options: dict[str, Any]) -> ContainerSpec:
    """Return the container that the options of `container:run` describe. Raises InvalidInput, NotFound."""
    image = options["image"]
    ports = [port for text in options["publish"] for port in parse_publish(text)]
    if options["publish_all"]:
        taken = {(port.container_port, port.protocol) for port in ports}
        exposed = [port for text in ctx.engine.image_ports(image) for port in parse_publish(text)]
        ports += [port for port in exposed if (port.container_port, port.protocol) not in taken]
    stop_timeout_s = options["stop_timeout"]
    parse_restart_policy(options["policy"])
    return ContainerSpec(
        image=image,
        argv=_command(ctx, image, options["entrypoint"], options["argv"]),
        name=options["name"],
        env=parse_environment(options["env_files"], options["env"]),
        labels=parse_labels(options["label"]),
        mounts=(
            *map(parse_volume, options["volume"]), *map(parse_mount, options["mount"]), *map(parse_tmpfs, options["tmpfs"]),
        ),
        ports=tuple(ports),
        limits=limits_for(options, pids=ctx.settings.pids),
        network=_network(options["network"]),
        workdir=options["workdir"],
        user=options["user"],
        hostname=options["hostname"],
        has_terminal=options["tty"],
        keeps_stdin=options["interactive"],
        has_init=options["init"],
        is_read_only=options["read_only"],
        stop_signal=options["stop_signal"],
        stop_timeout_s=stop_timeout_s if stop_timeout_s >= 0 else ctx.settings.stop_timeout_s,
        log_max_bytes=ctx.settings.log_max_mb << 20,
        health=_health(options),
        restart=options["policy"],
    )  # fmt: skip


def limits_for(options: dict[str, Any], *, pids: int) -> Limits:
    """Return the limits that `--memory`, `--memory-swap`, `--cpus` and `--pids-limit` ask for. Raises InvalidInput."""
    memory = parse_size(options["memory"])
    both = parse_size(options["memory_swap"]) if options["memory_swap"] else memory
    if both < memory or (both and not memory):
        raise InvalidInput("--memory-swap is memory and swap together", remedy="give --memory, and a larger --memory-swap")
    return Limits(
        memory_bytes=memory,
        swap_bytes=both - memory,
        cpu_millis=round(options["cpus"] * 1000),
        pids=options["pids_limit"] or pids,
    )


def _command(ctx: Context, image: str, entrypoint: str | None, argv: Sequence[str]) -> tuple[str, ...]:
    """Join entrypoint and command; () leaves both to the image. With another entrypoint the image's CMD does not count."""
    if entrypoint is None:
        return (*ctx.engine.image_entrypoint(image), *argv) if argv else ()
    command = (*([entrypoint] if entrypoint else []), *argv)
    if not command:
        remedy = f"paas container:run --entrypoint '' {image} sh"
        raise InvalidInput("Without an entrypoint the container needs a command", remedy=remedy)
    return command


def _network(name: str) -> NetworkMode:
    try:
        return NetworkMode(_NETWORKS.get(name, name))
    except ValueError:
        raise InvalidInput(f"There is no network '{name}'", remedy="use tenant (its own, the default), none or host") from None


def _health(options: dict[str, Any]) -> HealthCheck | None:
    command = options["health_cmd"]
    return HealthCheck(
        argv=("/bin/sh", "-c", command) if command and command != "none" else (),
        interval_s=parse_span(options["health_interval"]),
        timeout_s=parse_span(options["health_timeout"]),
        start_period_s=parse_span(options["health_start_period"]),
        start_interval_s=parse_span(options["health_start_interval"]),
        retries=options["health_retries"],
        is_disabled=options["no_healthcheck"] or command == "none",
    )


@click.command("container:exec", context_settings=_DOCKERLIKE)
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on")
@click.option("-t", "--tty", is_flag=True, help="give it a terminal")
@click.option("-e", "--env", multiple=True, metavar="KEY=VALUE", help="set a variable")
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="set the variables in a file")
@click.option("-w", "--workdir", default="", help="working directory")
@click.option("-u", "--user", default="", help="name or uid, with :group")
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
        container, argv, stdio=_stdio(is_interactive=interactive or tty), env=parse_environment(env_files, env),
        user=user, workdir=workdir, has_terminal=tty,
    )  # fmt: skip


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
