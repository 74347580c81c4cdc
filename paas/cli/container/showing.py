"""`container:ps|inspect|port|stats|top`: what is known about containers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence

import click

from paas.cli.common import format_option, print_json
from paas.cli.readable import readable_size, readable_span, table
from paas.context import Context
from paas.engines import Usage
from paas.errors import Conflict, NotFound
from paas.model.container import Container, ContainerStatus, Mount, signal_name
from paas.model.health import HealthStatus

#: Between two readings of the counters.
STATS_INTERVAL_S, FIRST_INTERVAL_S = 1.0, 0.25
_CLEAR_SCREEN = "\033[H\033[J"


@click.command("container:ps")
@click.option("-a", "--all", "is_all", is_flag=True, help="stopped ones, too")
@click.option("-q", "--quiet", is_flag=True, help="ids only")
@format_option
@click.pass_obj
def ps(ctx: Context, is_all: bool, quiet: bool, style: str) -> None:
    """List containers."""
    found = [c for c in ctx.engine.list() if is_all or c.is_running]
    if style == "json":
        print_json(ctx.output, [description(c) for c in found])
    elif quiet:
        for container in found:
            ctx.output.plain(container.id)
    else:
        rows = [_row(c, time.time()) for c in found]
        for line in table(("CONTAINER", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME"), rows):
            ctx.output.plain(line)


@click.command("container:inspect")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def inspect(ctx: Context, containers: Sequence[str]) -> None:
    """Show all that is known about containers, as JSON."""
    print_json(ctx.output, [description(ctx.engine.inspect(container)) for container in containers])


@click.command("container:port")
@click.argument("container")
@click.argument("wanted", metavar="[PORT[/PROTOCOL]]", default="")
@click.pass_obj
def port(ctx: Context, container: str, wanted: str) -> None:
    """List a container's published ports, or where one of them leads from."""
    found = {f"{p.container_port}/{p.protocol}": f"{p.host_address}:{p.host_port}" for p in ctx.engine.inspect(container).ports}
    if not wanted:
        for inside, outside in found.items():
            ctx.output.plain(f"{inside} -> {outside}")
        return
    chosen = found.get(wanted if "/" in wanted else f"{wanted}/tcp")
    if chosen is None:
        raise NotFound(f"Container {container} does not publish {wanted}", remedy=f"see: paas container:port {container}")
    ctx.output.plain(chosen)


@click.command("container:top")
@format_option
@click.argument("container")
@click.pass_obj
def top(ctx: Context, style: str, container: str) -> None:
    """List the processes of a container, with their pids on this machine."""
    found = ctx.engine.processes(container)
    if style == "json":
        print_json(ctx.output, [
            {"pid": p.pid, "parent": p.parent, "uid": p.user, "state": p.state, "cpu-s": p.cpu_s,
             "memory-bytes": p.memory_bytes, "argv": list(p.argv)} for p in found
        ])  # fmt: skip
        return
    rows = [
        (str(p.pid), str(p.parent), str(p.user), p.state, f"{p.cpu_s:.2f}", readable_size(p.memory_bytes), " ".join(p.argv))
        for p in found
    ]
    for line in table(("PID", "PARENT", "UID", "STATE", "CPU S", "MEMORY", "COMMAND"), rows):
        ctx.output.plain(line)


@click.command("container:stats")
@click.option("--no-stream", is_flag=True, help="once, not until interrupted")
@format_option
@click.argument("containers", nargs=-1)
@click.pass_obj
def stats(ctx: Context, no_stream: bool, style: str, containers: Sequence[str]) -> None:
    """Show cpu, memory, traffic and processes of running containers, by default of all; JSON is one line a reading."""
    before = _readings(ctx, containers)
    interval_s = FIRST_INTERVAL_S
    while True:
        ctx.sleep(interval_s)
        interval_s = STATS_INTERVAL_S
        now = _readings(ctx, containers)
        rows = [_reading(one, before[one.id][1] if one.id in before else usage, usage) for one, usage in now.values()]
        _show_stats(ctx, rows, style, is_cleared=not no_stream and os.isatty(1))
        if no_stream or not now:
            return
        before = now


def _readings(ctx: Context, names: Sequence[str]) -> dict[str, tuple[Container, Usage]]:
    """Read the counters of those that run; one that is named must be there, one that ends meanwhile is left out."""
    chosen = [ctx.engine.inspect(name) for name in names] if names else ctx.engine.list()
    found = {}
    for container in chosen:
        if container.is_running:
            try:
                found[container.id] = (container, ctx.engine.stats(container.id))
            except (Conflict, NotFound):
                continue  # it has just ended
    return found


def _reading(container: Container, before: Usage, now: Usage) -> dict[str, object]:
    seconds = now.at - before.at
    return {
        "id": container.id,
        "name": container.name,
        "cpu-percent": round(max(now.cpu_s - before.cpu_s, 0) / seconds * 100, 2) if seconds > 0 else 0.0,
        "cpu-s": round(now.cpu_s, 6),
        "memory-bytes": now.memory_bytes,
        "memory-limit-bytes": now.memory_limit_bytes,
        "read-bytes": now.read_bytes,
        "written-bytes": now.written_bytes,
        "received-bytes": now.received_bytes,
        "sent-bytes": now.sent_bytes,
        "pids": now.pids,
        "pids-limit": now.pids_limit,
    }


def _show_stats(ctx: Context, rows: Iterable[Mapping[str, object]], style: str, *, is_cleared: bool) -> None:
    if style == "json":
        ctx.output.plain(json.dumps(list(rows)))
        return
    lines = table(
        ("CONTAINER", "NAME", "CPU %", "MEMORY", "LIMIT", "READ", "WRITTEN", "RECEIVED", "SENT", "PIDS"),
        [(str(r["id"]), str(r["name"]), f"{r['cpu-percent']:.1f}", *(_size(r[f"{k}-bytes"]) for k in _SIZES), str(r["pids"]))
         for r in rows],
    )  # fmt: skip
    ctx.output.plain((_CLEAR_SCREEN if is_cleared else "") + "\n".join(lines))


_SIZES = ("memory", "memory-limit", "read", "written", "received", "sent")


def _size(value: object) -> str:
    return readable_size(int(str(value)))


def _row(container: Container, now: float) -> tuple[str, ...]:
    command = " ".join(container.argv)
    return (
        container.id,
        container.image[:12],
        command if len(command) <= 30 else command[:29] + "…",
        f"{readable_span(now - container.created_at)} ago",
        status_text(container, now),
        ", ".join(f"{p.host_address}:{p.host_port}->{p.container_port}/{p.protocol}" for p in container.ports),
        container.name,
    )


def status_text(container: Container, now: float) -> str:
    """Return e.g. `Up 3 hours (healthy)`, `Exited (137, SIGKILL)`. Pure."""
    if container.is_running:
        health = "" if container.health.status is HealthStatus.NONE else f" ({container.health.status})"
        return f"Up {readable_span(now - container.started_at)}{health}"
    if container.status is ContainerStatus.CREATED:
        return "Created"
    code = "?" if container.exit_code is None else str(container.exit_code)
    return f"Exited ({', '.join(filter(None, (code, container.exit_signal, 'out of memory' * container.is_oom_killed)))})"


def description(container: Container) -> dict[str, object]:
    """Return a container for JSON."""
    check = container.health_check
    return {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "tenant": container.tenant.name,
        "argv": list(container.argv),
        "user": container.user,
        "workdir": container.workdir,
        "hostname": container.hostname,
        "labels": dict(container.labels),
        "status": str(container.status),
        "pid": container.pid,
        "network": str(container.network),
        "address": container.address,
        "created-at": container.created_at,
        "started-at": container.started_at,
        "finished-at": container.finished_at,
        "exit-code": container.exit_code,
        "exit-signal": container.exit_signal,
        "exit-reason": container.exit_reason if container.status is ContainerStatus.STOPPED else "",
        "out-of-memory": container.is_oom_killed,
        "restart": container.restart,
        "ports": [f"{p.host_address}:{p.host_port}:{p.container_port}/{p.protocol}" for p in container.ports],
        "exposed-ports": list(container.exposed_ports),
        "mounts": [_mount(mount) for mount in container.mounts],
        "limits": {
            "memory-bytes": container.limits.memory_bytes, "swap-bytes": container.limits.swap_bytes,
            "cpu-millis": container.limits.cpu_millis, "pids": container.limits.pids,
        },
        "stop-signal": signal_name(container.stop_signal),
        "stop-timeout-s": container.stop_timeout_s,
        "health": {
            "status": str(container.health.status),
            "failures": container.health.failures,
            "results": [{"at": r.at, "exit-code": r.exit_code, "output": r.output} for r in container.health.results],
        },
        "health-check": None if check is None else {
            "argv": list(check.argv), "interval-s": check.interval_s, "timeout-s": check.timeout_s,
            "start-period-s": check.start_period_s, "start-interval-s": check.start_interval_s, "retries": check.retries,
        },
        "log": str(container.log_path or ""),
    }  # fmt: skip


def _mount(mount: Mount) -> dict[str, object]:
    kind = "bind" if mount.source else "volume" if mount.volume or mount.is_anonymous else "tmpfs"
    return {
        "type": kind, "source": str(mount.source or mount.volume), "target": mount.target, "read-only": mount.is_read_only,
    }  # fmt: skip
