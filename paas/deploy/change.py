"""A change of an app that takes effect with a release: config vars, limits, links. Recorded only once its containers serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paas.context import Context
from paas.deploy import release, rollout, scripts
from paas.deploy.queue import refuse_locked
from paas.deploy.record import recorded
from paas.model.app import App
from paas.model.release import BuildKind, Release


def change_release(
    ctx: Context, app: App, record: Callable[[], None], *, cause: str, config: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None, restart: bool = True,
) -> Release | None:
    """Roll out the current release's image with a change; `record` writes the change down, together with the release.

    The caller holds the app's turn. `cause` is what the ledger says, e.g. `config:set +KEY`; never a value. `config` is all
    that the processes are to see and `properties` are all that shape them; None for what holds now. When nothing runs, or
    shall not restart, the change is only recorded and takes part in the next release; then there is none to return.
    Raises DeployFailed when the new containers fail their checks: nothing is recorded then. Raises Conflict for a locked app.
    """
    current = ctx.state.releases.current(app.name)
    if current is None or app.is_stopped or not restart:
        with ctx.state.transaction():
            record()
        return None
    refuse_locked(app)
    merged = ctx.state.config.merged(app.name) if config is None else config
    with recorded(ctx, app, BuildKind.DEPLOY, cause=cause, revision=current.revision):
        new = release.derive_release(ctx, app, current, cause=cause, config=merged, properties=properties)
        new = scripts.before_switch(ctx, app, new)
        return rollout.roll_out(ctx, app, new, on_live=record)
