"""`container:stop|restart|kill|rm|wait|rename|update|commit`: what happens to a container that is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import click

from paas.cli.container.asked import with_swap
from paas.context import Context
from paas.model.container import Limits, signal_number
from paas.model.dockerflags import parse_size
from paas.model.restart import parse_restart_policy

#: So many containers at once: most of it is waiting for the kernel.
PARALLEL = 8


@click.command("container:stop")
@click.option("-t", "--time", "--timeout", "timeout_s", type=float, default=None, help="seconds before SIGKILL")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def stop(ctx: Context, timeout_s: float | None, containers: Sequence[str]) -> None:
    """Stop containers."""
    for_each(ctx, containers, lambda container: ctx.engine.stop(container, timeout_s=timeout_s))


@click.command("container:restart")
@click.option("-t", "--time", "--timeout", "timeout_s", type=float, default=None, help="seconds before SIGKILL")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def restart(ctx: Context, timeout_s: float | None, containers: Sequence[str]) -> None:
    """Stop containers and start them with the address and ports they had."""
    for_each(ctx, containers, lambda container: ctx.engine.restart(container, timeout_s=timeout_s))


@click.command("container:kill")
@click.option("-s", "--signal", "name", default="SIGKILL", help="e.g. HUP, SIGUSR1 or 15; SIGKILL if not given")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def kill(ctx: Context, name: str, containers: Sequence[str]) -> None:
    """Send a signal to containers."""
    number = signal_number(name)
    for_each(ctx, containers, lambda container: ctx.engine.kill(container, number))


@click.command("container:rm")
@click.option("-f", "--force", is_flag=True, help="kill those that run")
@click.option("-v", "--volumes", is_flag=True, expose_value=False, help="their anonymous volumes, which go with them anyway")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def remove(ctx: Context, force: bool, containers: Sequence[str]) -> None:
    """Remove containers with their anonymous volumes."""
    for_each(ctx, containers, lambda container: ctx.engine.remove(container, is_forced=force))


@click.command("container:wait")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def wait(ctx: Context, containers: Sequence[str]) -> None:
    """Wait until containers have stopped and print their exit codes."""
    for container in containers:
        ctx.output.plain(str(ctx.engine.wait(container)))


@click.command("container:rename")
@click.argument("container")
@click.argument("name")
@click.pass_obj
def rename(ctx: Context, container: str, name: str) -> None:
    """Give a container another name."""
    ctx.engine.rename(container, name)


@click.command("container:update")
@click.option("-m", "--memory", default=None, help="memory limit, e.g. 256m; 0 for none")
@click.option("--memory-swap", default=None, help="memory and swap together")
@click.option("--cpus", default=None, type=click.FloatRange(min=0), help="cpu limit in cores; 0 for none")
@click.option("--pids-limit", default=None, type=click.IntRange(min=-1), help="number of processes it may have; 0 or -1 for any")
@click.option("--restart", "policy", default=None, help="no, always, unless-stopped, on-failure[:times]")
@click.argument("containers", nargs=-1, required=True)
@click.pass_obj
def update(
    ctx: Context, memory: str | None, memory_swap: str | None, cpus: float | None, pids_limit: int | None,
    policy: str | None, containers: Sequence[str],
) -> None:
    """Change limits of containers, at once if they run, or their restart policy."""
    if policy is not None:
        parse_restart_policy(policy)
    for container in containers:
        before = ctx.engine.inspect(container).limits
        limits = changed_limits(before, memory=memory, memory_swap=memory_swap, cpus=cpus, pids=pids_limit)
        ctx.engine.update(container, limits=limits if limits != before else None, restart=policy)
        ctx.output.plain(container)


def changed_limits(
    before: Limits, *, memory: str | None, memory_swap: str | None, cpus: float | None, pids: int | None
) -> Limits:
    """Return the limits with those replaced that are given. Pure. Raises InvalidInput."""
    after = replace(
        before,
        memory_bytes=before.memory_bytes if memory is None else parse_size(memory),
        cpu_millis=before.cpu_millis if cpus is None else round(cpus * 1000),
        pids=before.pids if pids is None else max(pids, 0),
    )
    if memory_swap is None:
        return after if after.memory_bytes else replace(after, swap_bytes=0)
    return with_swap(after, memory_swap)


@click.command("container:commit")
@click.argument("container")
@click.argument("reference", default="")
@click.pass_obj
def commit(ctx: Context, container: str, reference: str) -> None:
    """Make an image of what a container holds now."""
    ctx.output.plain(ctx.engine.commit(container, reference=reference))


def for_each(ctx: Context, containers: Sequence[str], work: Callable[[str], object]) -> None:
    """Do it to all, several at once, and name those that are done; raises what went wrong when all have been tried."""
    if len(containers) == 1:
        work(containers[0])
        ctx.output.plain(containers[0])
        return
    with ThreadPoolExecutor(PARALLEL) as pool:
        tried = [(container, pool.submit(work, container)) for container in containers]
    errors = []
    for container, future in tried:
        if error := future.exception():
            errors.append(error)
        else:
            ctx.output.plain(container)
    for error in errors[1:]:
        ctx.output.warn(str(error))
    if errors:
        raise errors[0]
