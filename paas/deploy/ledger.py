"""The ledger after a crash: deploys and releases that no command works on any more are closed."""

from __future__ import annotations

import contextlib

from paas.context import Context
from paas.deploy import record
from paas.deploy.queue import app_turn
from paas.errors import Conflict


def close_interrupted(ctx: Context) -> None:
    """Close what a killed command left open. An app whose turn is held has somebody at work: it is left alone."""
    for app in ctx.state.apps.list():
        if ctx.state.builds.running(app.name) or ctx.state.releases.pending(app.name):
            with contextlib.suppress(Conflict), app_turn(ctx, app.name, "repair", wait=False):
                record.close_interrupted(ctx, app)
