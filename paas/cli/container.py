"""`container:*`: containers of the engine by hand, with Docker's flags; for administrators. Apps have `ps:*` and `run`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import click

from paas.cli.common import format_option, print_json
from paas.cli.readable import readable_span, table
from paas.context import Context
from paas.engines import Stdio
from paas.errors import InvalidInput
from paas.model.container import (
    Container,
    ContainerSpec,
    ContainerStatus,
    Limits,
    Mount,
    NetworkMode,
    PortMapping,
)  # fmt: skip
from paas.model.env import parse_assignments

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bkmg]?)b?\Z")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_VERBATIM = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command("container:run", context_settings=_VERBATIM)
@click.option("-d", "--detach", is_flag=True, help="run in the background and print the id")
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on")
@click.option("-t", "--tty", is_flag=True, help="give it a terminal")
@click.option("--rm", "is_removed", is_flag=True, help="remove it when it ends")
@click.option("--name", default="", help="what to call it")
@click.option("-e", "--env", multiple=True, metavar="KEY=VALUE", help="set a variable; KEY alone takes ours")
@click.option("-v", "--volume", multiple=True, metavar="SOURCE:TARGET[:ro]", help="show a host directory inside")
@click.option("-p", "--publish", multiple=True, metavar="[ADDRESS:]HOST:CONTAINER[/PROTOCOL]", help="lead a host port to it")
@click.option("-m", "--memory", default="0", help="memory limit, e.g. 256m")
@click.option("--cpus", default=0.0, help="cpu limit in cores, e.g. 0.5")
@click.option("--pids-limit", default=0, help="number of processes it may have")
@click.option("--network", type=click.Choice([str(mode) for mode in NetworkMode]), default="tenant", help="its network")
@click.option("-w", "--workdir", default="", help="working directory")
@click.option("-u", "--user", default="", help="name or uid, with :group")
@click.option("--entrypoint", default=None, help="run this instead of the image's entrypoint")
@click.option("--read-only", is_flag=True, help="no writing but to mounts")
@click.argument("image")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(
    ctx: Context, detach: bool, interactive: bool, tty: bool, is_removed: bool, name: str, env: Sequence[str],
    volume: Sequence[str], publish: Sequence[str], memory: str, cpus: float, pids_limit: int, network: str, workdir: str,
    user: str, entrypoint: str | None, read_only: bool, image: str, argv: Sequence[str],
) -> int:
    """Run a command in a new container."""
    first = ctx.engine.image_entrypoint(image) if entrypoint is None else tuple(entrypoint.split())
    spec = ContainerSpec(
        image=image,
        argv=(*first, *argv) if argv or entrypoint is not None else (),
        name=name,
        env=parse_assignments(_with_own_values(env)),
        mounts=tuple(parse_volume(text) for text in volume),
        ports=tuple(parse_publish(text) for text in publish),
        limits=Limits(memory_bytes=parse_size(memory), cpu_millis=round(cpus * 1000), pids=pids_limit or ctx.settings.pids),
        network=NetworkMode(network),
        workdir=workdir,
        user=user,
        has_terminal=tty,
        keeps_stdin=interactive,
        is_read_only=read_only,
        stop_timeout_s=ctx.settings.stop_timeout_s,
        log_max_bytes=ctx.settings.log_max_mb << 20,
    )
    if tty and not detach and not os.isatty(0):
        raise InvalidInput("-t needs a terminal, and stdin is none", remedy="leave -t out, or use ssh -t")
    stdio = _stdio(is_interactive=interactive or tty)
    if is_removed and not detach:
        return ctx.engine.run(spec, stdio)
    container = ctx.engine.create(spec)
    if not detach:
        return ctx.engine.start_attached(container.id, stdio=stdio)
    ctx.output.plain(ctx.engine.start(container.id).id)
    return 0


@click.command("container:ps")
@click.option("-a", "--all", "is_all", is_flag=True, help="stopped ones, too")
@click.option("-q", "--quiet", is_flag=True, help="ids only")
@format_option
@click.pass_obj
def ps(ctx: Context, is_all: bool, quiet: bool, style: str) -> None:
    """List containers."""
    found = [c for c in ctx.engine.list() if is_all or c.is_running]
    if style == "json":
        print_json(ctx.output, [_description(c) for c in found])
    elif quiet:
        for container in found:
            ctx.output.plain(container.id)
    else:
        rows = [_row(c, time.time()) for c in found]
        for line in table(("CONTAINER", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME"), rows):
            ctx.output.plain(line)


@click.command("container:start")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def start(ctx: Context, containers: Sequence[str]) -> None:
    """Start containers again."""
    for container in containers:
        ctx.engine.start(container)
        ctx.output.plain(container)


@click.command("container:stop")
@click.option("-t", "--time", "timeout_s", type=float, default=None, help="seconds before SIGKILL")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def stop(ctx: Context, timeout_s: float | None, containers: Sequence[str]) -> None:
    """Stop containers."""
    for container in containers:
        ctx.engine.stop(container, timeout_s=timeout_s)
        ctx.output.plain(container)


@click.command("container:rm")
@click.option("-f", "--force", is_flag=True, help="kill those that run")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def remove(ctx: Context, force: bool, containers: Sequence[str]) -> None:
    """Remove containers."""
    for container in containers:
        ctx.engine.remove(container, is_forced=force)
        ctx.output.plain(container)


@click.command("container:logs")
@click.option("-f", "--follow", is_flag=True, help="go on until it stops")
@click.option("-n", "--tail", "lines", default=0, help="only the last lines")
@click.option("-t", "--timestamps", is_flag=True, help="show when each line was written")
@click.argument("container")
@click.pass_obj
def logs(ctx: Context, follow: bool, lines: int, timestamps: bool, container: str) -> None:
    """Show what a container wrote; its stderr goes to stderr."""
    for line in ctx.engine.logs(container, lines=lines, follow=follow):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime(line.at)) if timestamps else ""
        click.echo(stamp + line.text, err=line.stream == "stderr")


@click.command("container:exec", context_settings=_VERBATIM)
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on")
@click.option("-t", "--tty", is_flag=True, help="give it a terminal")
@click.option("-e", "--env", multiple=True, metavar="KEY=VALUE", help="set a variable")
@click.option("-w", "--workdir", default="", help="working directory")
@click.option("-u", "--user", default="", help="name or uid, with :group")
@click.argument("container")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(
    ctx: Context, interactive: bool, tty: bool, env: Sequence[str], workdir: str, user: str, container: str,
    argv: Sequence[str],
) -> int:
    """Run one more command in a running container."""
    if tty and not os.isatty(0):
        raise InvalidInput("-t needs a terminal, and stdin is none", remedy="leave -t out, or use ssh -t")
    return ctx.engine.exec(
        container, argv, stdio=_stdio(is_interactive=interactive or tty), env=parse_assignments(_with_own_values(env)),
        user=user, workdir=workdir, has_terminal=tty,
    )  # fmt: skip


@click.command("container:attach")
@click.argument("container")
@click.pass_obj
def attach(ctx: Context, container: str) -> int:
    """Join a running container's streams until it stops; its exit code is ours."""
    return ctx.engine.attach(container)


@click.command("container:commit")
@click.argument("container")
@click.argument("reference", default="")
@click.pass_obj
def commit(ctx: Context, container: str, reference: str) -> None:
    """Make an image of what a container holds now."""
    ctx.output.plain(ctx.engine.commit(container, reference=reference))


@click.command("container:port")
@click.argument("container")
@click.pass_obj
def port(ctx: Context, container: str) -> None:
    """List a container's published ports."""
    for mapping in ctx.engine.inspect(container).ports:
        ctx.output.plain(f"{mapping.container_port}/{mapping.protocol} -> {mapping.host_address}:{mapping.host_port}")


@click.command("container:inspect")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def inspect(ctx: Context, containers: Sequence[str]) -> None:
    """Show all that is known about containers, as JSON."""
    print_json(ctx.output, [_description(ctx.engine.inspect(container)) for container in containers])


def parse_size(text: str) -> int:
    """Parse `256m` or `1.5g` into bytes. Raises InvalidInput."""
    match = _SIZE.match(text.lower())
    if match is None:
        raise InvalidInput(f"'{text}' is not a size", remedy="e.g. 256m or 1.5g")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_volume(text: str) -> Mount:
    """Parse `/host/dir:/inside[:ro]`. Raises InvalidInput."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not source.startswith("/") or not target.startswith("/") or options not in ("", "ro", "rw"):
        raise InvalidInput(f"'{text}' is not a volume", remedy="write /host/directory:/inside or /host/directory:/inside:ro")
    if not Path(source).exists():
        raise InvalidInput(f"{source} does not exist on the host", remedy=f"mkdir -p {source}")
    return Mount(source=Path(source), target=target, is_read_only=options == "ro")


def parse_publish(text: str) -> PortMapping:
    """Parse `[address:]host:container[/protocol]`. Raises InvalidInput."""
    ports, _, protocol = text.partition("/")
    *address, host, container = ports.split(":") if ports.count(":") in (1, 2) else ("", "")
    is_valid = host.isdecimal() and container.isdecimal() and 0 < int(host) < 65536 and 0 < int(container) < 65536
    if not is_valid or protocol not in ("", "tcp", "udp"):
        raise InvalidInput(f"'{text}' is not a port to publish", remedy="e.g. 8080:80, 127.0.0.1:8080:80 or 5353:53/udp")
    return PortMapping(
        host_port=int(host), container_port=int(container), host_address=address[0] if address else "0.0.0.0",
        protocol=protocol or "tcp",
    )  # fmt: skip


def _with_own_values(env: Sequence[str]) -> list[str]:
    return [text if "=" in text else f"{text}={os.environ.get(text, '')}" for text in env]


def _stdio(*, is_interactive: bool) -> Stdio:
    return Stdio() if is_interactive else Stdio(stdin=os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


def _row(container: Container, now: float) -> tuple[str, ...]:
    command = " ".join(container.argv)
    return (
        container.id,
        container.image[:12],
        command if len(command) <= 30 else command[:29] + "…",
        f"{readable_span(now - container.created_at)} ago",
        _status(container, now),
        ", ".join(f"{p.host_address}:{p.host_port}->{p.container_port}/{p.protocol}" for p in container.ports),
        container.name,
    )


def _status(container: Container, now: float) -> str:
    if container.is_running:
        return f"Up {readable_span(now - container.started_at)}"
    if container.status is ContainerStatus.CREATED:
        return "Created"
    reason = ", out of memory" if container.is_oom_killed else ""
    code = "?" if container.exit_code is None else container.exit_code
    return f"Exited ({code}{reason})"


def _description(container: Container) -> dict[str, object]:
    return {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "tenant": container.tenant.name,
        "argv": list(container.argv),
        "labels": dict(container.labels),
        "status": str(container.status),
        "pid": container.pid,
        "address": container.address,
        "created-at": container.created_at,
        "started-at": container.started_at,
        "finished-at": container.finished_at,
        "exit-code": container.exit_code,
        "out-of-memory": container.is_oom_killed,
        "ports": [f"{p.host_address}:{p.host_port}:{p.container_port}/{p.protocol}" for p in container.ports],
        "log": str(container.log_path or ""),
    }


COMMANDS = (run, ps, start, stop, remove, logs, execute, attach, commit, port, inspect)
