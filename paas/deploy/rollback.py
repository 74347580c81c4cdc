"""Rollback: an old release's image, config and limits as a new release, checked like any other."""

from __future__ import annotations

from paas.context import Context
from paas.deploy import release, rollout
from paas.deploy.intent import deployed_release
from paas.deploy.queue import app_turn
from paas.model.release import FROZEN_TOPICS, Release, ReleaseStatus


def roll_back(ctx: Context, app_name: str, version: int | None = None) -> Release:
    """Go back to release `version`, or to the one before the current. Its config and limits become the app's.

    Appends a release; when that fails its checks, the present one keeps serving.
    """
    with app_turn(ctx, app_name, "ps:rollback"):
        app = ctx.state.apps.get(app_name)
        target = release.rollback_target(ctx, app, version)
        left = deployed_release(ctx, app_name)
        ctx.output.step(f"Rolling {app.name} back to v{target.version}")
        new = release.derive_release(ctx, app, target, cause=f"rollback to v{target.version}", properties=target.properties)

        def record() -> None:
            shared = ctx.state.config.get("")
            own = {k: v for k, v in target.config.items() if shared.get(k) != v}
            stale = [key for key in ctx.state.config.get(app.name) if key not in own]
            ctx.state.config.unset(app.name, stale)
            ctx.state.config.set(app.name, own)
            ctx.state.properties.restore(app.name, FROZEN_TOPICS, target.properties)
            ctx.state.releases.mark(app.name, left.version, ReleaseStatus.ROLLED_BACK)

        return rollout.roll_out(ctx, app, new, on_live=record)
