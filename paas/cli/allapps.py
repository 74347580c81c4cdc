"""`--all` and `--parallel`: one command for every app."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import click

from paas.context import Context
from paas.errors import DeployFailed, PaasError, UsageError

all_option = click.option("--all", "is_all", is_flag=True, help="for all apps")
parallel_option = click.option("--parallel", type=click.IntRange(min=-1), default=0, metavar="N",
                               help="so many at once, -1 for the number of cpus: apps, or processes of one app")  # fmt: skip


def at_most(parallel: int) -> int:
    """Return how many at once `--parallel` means; 0 when it was not given."""
    return (os.cpu_count() or 1) if parallel < 0 else parallel


def over_apps(ctx: Context, app: str, is_all: bool, parallel: int, work: Callable[[Context, str], object]) -> None:
    """Do the work for the app, or for all: one that fails does not keep the others from it. Raises what failed."""
    if bool(app) == is_all:
        raise UsageError("Name one app, or give --all" if not app else f"Give {app} or --all, not both", remedy="see: paas help")
    if not is_all:
        work(ctx, app)
        return
    names = [one.name for one in ctx.state.apps.list()]
    failures: dict[str, PaasError] = {}

    def guarded(name: str) -> None:
        try:
            work(ctx, name)
        except PaasError as exc:
            failures[name] = exc
            ctx.output.warn(f"{name}: {exc.message}")

    with ThreadPoolExecutor(max_workers=max(1, at_most(parallel)), thread_name_prefix="app") as pool:
        list(pool.map(guarded, names))
    if failures:
        told = ", ".join(sorted(failures))
        raise DeployFailed(f"It failed for {len(failures)} of {len(names)} apps: {told}", remedy="the reasons are above")
