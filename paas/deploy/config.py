"""Config vars: a change is a new release; it is recorded only once its containers serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paas.context import Context
from paas.deploy import release, rollout, scripts
from paas.deploy.queue import app_turn
from paas.model.app import App
from paas.model.release import config_diff


def set_config(ctx: Context, app_name: str, changes: Mapping[str, str], *, restart: bool = True) -> bool:
    """Set config vars and, for a running app, roll out a release with them; say whether anything changed.

    When the release fails its checks, the old one keeps serving and the config vars stay as they were.
    """
    with app_turn(ctx, app_name, "config:set"):
        app = ctx.state.apps.get(app_name)
        before = ctx.state.config.get(app_name)
        if all(before.get(key) == value for key, value in changes.items()):
            return False
        return _change(ctx, app, {**before, **changes}, "config:set", restart=restart)


def unset_config(ctx: Context, app_name: str, keys: Sequence[str], *, restart: bool = True) -> bool:
    """Remove config vars and, for a running app, roll out a release without them; say whether anything changed."""
    with app_turn(ctx, app_name, "config:unset"):
        app = ctx.state.apps.get(app_name)
        before = ctx.state.config.get(app_name)
        after = {key: value for key, value in before.items() if key not in keys}
        if after == before:
            return False
        return _change(ctx, app, after, "config:unset", restart=restart)


def set_global(ctx: Context, changes: Mapping[str, str]) -> bool:
    """Set config vars of all apps; they take part in each app's next release."""
    return ctx.state.config.set("", dict(changes))


def unset_global(ctx: Context, keys: Sequence[str]) -> bool:
    """Remove config vars of all apps; they leave with each app's next release."""
    return ctx.state.config.unset("", keys)


def _change(ctx: Context, app: App, after: Mapping[str, str], verb: str, *, restart: bool) -> bool:
    before = ctx.state.config.get(app.name)
    removed = [key for key in before if key not in after]
    diff = " ".join(config_diff(before, after))
    current = ctx.state.releases.current(app.name)

    def record() -> None:
        with ctx.state.transaction():
            ctx.state.config.unset(app.name, removed)
            ctx.state.config.set(app.name, dict(after))
            ctx.state.events.record(app.name, ctx.identity.name, verb, diff, ctx.now())

    if current is None or app.is_stopped or not restart:
        record()
        return True
    merged = {**ctx.state.config.get(""), **after}
    new = release.derive_release(ctx, app, current, cause=f"{verb} {diff}", config=merged)
    new = scripts.before_switch(ctx, app, new)
    rollout.roll_out(ctx, app, new, on_live=record)
    return True
