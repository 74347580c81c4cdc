"""One change at a time for each app: whoever comes second waits and is told for whom. Deploys also mind the lock of the app.

Two locks, always taken in this order: the app's turn, which keeps commands apart, and its containers with their routes, which
keep the supervisor away as well. Whatever builds and runs tasks holds only the first until there is something to switch, so that
an app whose process dies meanwhile gets it back.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from paas.context import Context
from paas.errors import Conflict
from paas.host.files import LockHolder, flock, held_by
from paas.model.app import App


@contextlib.contextmanager
def app_turn(ctx: Context, app: str, what: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the app's turn and its containers, to change these or the app's routes.

    The kernel gives both back when the holder dies. Raises Conflict if one is taken and not `wait`.
    """
    with release_turn(ctx, app, what, wait=wait), container_turn(ctx, app, what, wait=wait):
        yield


@contextlib.contextmanager
def release_turn(ctx: Context, app: str, what: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the app's turn to make a release; `rollout.go_live` takes the containers when it comes to that."""
    holder = f"{what} by {ctx.identity.name}"
    with _held(ctx, app, ctx.paths.app_lock(app), holder, wait=wait, step="wait for the app's turn"):
        yield


@contextlib.contextmanager
def container_turn(ctx: Context, app: str, what: str, *, wait: bool = True, is_shared: bool = False) -> Iterator[None]:
    """Hold the app's containers and routes. Raises Conflict if they are taken and not `wait`.

    With `is_shared` it is enough that this process holds them already, as a `ps:restart` does that turns into a release.
    """
    holding = held_by(ctx.paths.container_lock(app)) if is_shared else None
    if holding is not None and holding.pid == os.getpid():
        yield
        return
    holder = f"{what} by {ctx.identity.name}"
    with _held(ctx, app, ctx.paths.container_lock(app), holder, wait=wait, step="wait for the app's containers"):
        yield


@contextlib.contextmanager
def _held(ctx: Context, app: str, lock: Path, holder: str, *, wait: bool, step: str) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        with ctx.output.timed(step):
            held.enter_context(flock(lock, what=holder, wait=wait, on_wait=lambda other: say_waiting(ctx, app, other)))
        yield


@contextlib.contextmanager
def deploy_turn(ctx: Context, app_name: str, what: str) -> Iterator[App]:
    """Hold the app's turn for a deploy; yields the app as it is then. Raises NotFound, Conflict for an app that is locked."""
    refuse_locked(ctx.state.apps.get(app_name))  # whoever must not deploy need not wait to hear it
    with release_turn(ctx, app_name, what):
        app = ctx.state.apps.get(app_name)
        refuse_locked(app)
        yield app


def refuse_locked(app: App, *, remedy: str = "") -> None:
    """Raise Conflict when somebody locked the app against deploys (`apps:lock`)."""
    if app.is_locked:
        raise Conflict(f"Deploys of {app.name} are locked", remedy=remedy or f"run: paas apps:unlock {app.name}")


def say_waiting(ctx: Context, app: str, holder: LockHolder | None) -> None:
    """Tell whoever waits for whom."""
    if holder is None:
        ctx.output.step(f"Waiting for another command on {app}")
        return
    since = time.strftime("%H:%M:%S", time.localtime(holder.since))
    ctx.output.step(f"Waiting: {app} is busy with {holder.what} since {since}")
