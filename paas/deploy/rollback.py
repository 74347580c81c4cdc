"""Rollback: an old release's image, config and limits as a new release, checked like any other."""

from __future__ import annotations

from paas.context import Context
from paas.deploy import release, rollout
from paas.deploy.intent import deployed_release
from paas.deploy.queue import deploy_turn
from paas.deploy.record import recorded
from paas.model.release import FROZEN_TOPICS, BuildKind, Release, ReleaseStatus


def roll_back(ctx: Context, app_name: str, version: int | None = None) -> Release:
    """Go back to release `version`, or to the one before the current. Its config and limits become the app's.

    Appends a release; when that fails its checks, the present one keeps serving.
    """
    with deploy_turn(ctx, app_name, "ps:rollback") as app:
        target = release.rollback_target(ctx, app, version)
        left = deployed_release(ctx, app_name)
        cause = f"rollback to v{target.version}"
        ctx.output.step(f"Rolling {app.name} back to v{target.version}")

        def record() -> None:
            shared = ctx.state.config.get("")
            ctx.state.config.replace(app.name, {k: v for k, v in target.config.items() if shared.get(k) != v})
            ctx.state.properties.restore(app.name, FROZEN_TOPICS, target.properties)
            ctx.state.releases.mark(app.name, left.version, ReleaseStatus.ROLLED_BACK, ctx.now())

        with recorded(ctx, app, BuildKind.DEPLOY, cause=cause, revision=target.revision):
            new = release.derive_release(ctx, app, target, cause=cause, properties=target.properties)
            return rollout.roll_out(ctx, app, new, on_live=record)
