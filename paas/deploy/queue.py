"""One change at a time for each app: whoever comes second waits and is told for whom."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from paas.context import Context
from paas.host.files import LockHolder, flock


@contextlib.contextmanager
def app_turn(ctx: Context, app: str, what: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the app's turn while its containers, routes or releases change.

    The kernel gives the turn back when the holder dies. Raises Conflict if it is taken and not `wait`.
    """

    def say_waiting(holder: LockHolder | None) -> None:
        if holder is None:
            ctx.output.step(f"Waiting for another command on {app}")
            return
        since = time.strftime("%H:%M:%S", time.localtime(holder.since))
        ctx.output.step(f"Waiting: {app} is busy with {holder.what} since {since}")

    lock = ctx.paths.locks / f"{app}.lock"
    with flock(lock, what=f"{what} by {ctx.identity.name}", wait=wait, on_wait=say_waiting):
        yield
