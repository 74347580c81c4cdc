"""Ending a deploy from outside: its process is interrupted like by Ctrl-C, undoes what it began and says who wanted that."""

from __future__ import annotations

import signal

from paas.context import Context
from paas.deploy import ledger
from paas.errors import Conflict
from paas.host.files import held_by
from paas.host.process import wait_for_end
from paas.host.run import kill_group
from paas.model.release import Build, BuildStatus

#: From the interruption to the kill: containers are stopped and layers removed in that time.
PATIENCE_S = 20.0


def cancel_deploy(ctx: Context, app_name: str) -> Build:
    """End the deploy of the app that is under way, with all that it started. Raises Conflict when there is none, or too late."""
    ctx.state.apps.get(app_name)
    nothing = Conflict(f"No deploy of {app_name} is under way", remedy=f"see: paas builds:list {app_name}")
    deploy = next(iter(ctx.state.builds.running(app_name)), None)
    if deploy is None or not is_alive(ctx, deploy) or not ctx.state.builds.ask_to_cancel(deploy.id, ctx.identity.name):
        raise nothing
    ctx.output.step(f"Canceling build {deploy.number} of {app_name}: {deploy.cause} by {deploy.actor}")
    has_ended = wait_for_end(deploy.pid, signal.SIGINT, timeout_s=PATIENCE_S, is_meant=lambda: is_alive(ctx, deploy))
    if not has_ended:
        _kill(ctx, deploy)
    ended = ctx.state.builds.get(deploy.id)
    if ended.status is BuildStatus.SUCCEEDED:
        raise Conflict(
            f"Too late: v{ended.release} of {app_name} was live already", remedy=f"to go back: paas ps:rollback {app_name}"
        )
    ctx.state.events.record(app_name, ctx.identity.name, "builds:cancel", f"build {deploy.number}", ctx.now())
    return ended


def is_alive(ctx: Context, deploy: Build) -> bool:
    """Say whether the process that a running deploy belongs to still holds the app's turn."""
    holder = held_by(ctx.paths.app_lock(deploy.app))
    return holder is not None and holder.pid == deploy.pid


def shown_status(ctx: Context, deploy: Build) -> BuildStatus:
    """Return how a deploy stands: one whose process was killed is abandoned, even before that is recorded."""
    is_orphan = deploy.status is BuildStatus.RUNNING and not is_alive(ctx, deploy)
    return BuildStatus.ABANDONED if is_orphan else deploy.status


def _kill(ctx: Context, deploy: Build) -> None:
    """End a process that does not listen, and clean up in its place."""
    ctx.output.warn(f"It has not ended after {PATIENCE_S:.0f} s and is killed")
    kill_group(deploy.pid)  # a command of the server leads a group of its own; without a server it is alone
    wait_for_end(deploy.pid, signal.SIGKILL, timeout_s=PATIENCE_S, is_meant=lambda: is_alive(ctx, deploy))
    ctx.state.builds.finish(deploy.id, BuildStatus.CANCELLED, ctx.now())
    ctx.engine.repair()
    ledger.close_interrupted(ctx)
