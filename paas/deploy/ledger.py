"""The ledger after a crash: builds and releases that no command works on any more are closed."""

from __future__ import annotations

import contextlib

from paas.context import Context
from paas.deploy import build, release
from paas.deploy.queue import app_turn
from paas.errors import Conflict
from paas.model.release import BuildStatus, ReleaseStatus


def close_interrupted(ctx: Context) -> None:
    """Close what a killed command left open. An app whose turn is held has somebody at work: it is left alone."""
    for app in ctx.state.apps.list():
        has_open_build = any(b.status is BuildStatus.RUNNING for b in ctx.state.builds.list(app.name))
        has_open_release = any(r.status is ReleaseStatus.PENDING for r in ctx.state.releases.list(app.name))
        if has_open_build or has_open_release:
            with contextlib.suppress(Conflict), app_turn(ctx, app.name, "repair", wait=False):
                build.close_interrupted(ctx, app)
                release.close_interrupted(ctx, app)
