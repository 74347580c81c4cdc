"""Config vars: a change is a new release; it is recorded only once its containers serve."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum

from paas.context import Context
from paas.deploy.change import change_release
from paas.deploy.queue import release_turn
from paas.model.app import App
from paas.model.release import config_diff

Values = Mapping[str, str]


class Outcome(Enum):
    """What a change of config vars came to."""

    UNCHANGED = "unchanged"
    RECORDED = "recorded"
    LIVE = "live"


def set_config(ctx: Context, app_name: str, changes: Values, *, restart: bool = True, command: str = "config:set") -> Outcome:
    """Set config vars and, for a running app, roll out a release with them.

    When the release fails its checks, the old one keeps serving and the config vars stay as they were.
    """
    return _change(ctx, app_name, lambda before: {**before, **changes}, command, touched=changes, restart=restart)


def unset_config(
    ctx: Context, app_name: str, keys: Sequence[str], *, restart: bool = True, command: str = "config:unset"
) -> Outcome:
    """Remove config vars and, for a running app, roll out a release without them."""
    return _change(ctx, app_name, lambda before: _without(before, keys), command, touched=keys, restart=restart)


def replace_config(
    ctx: Context, app_name: str, values: Values, *, restart: bool = True, command: str = "config:import"
) -> Outcome:
    """Make these all the config vars that the app has: at once, in one release."""
    return _change(ctx, app_name, lambda _before: values, command, touched=None, restart=restart)


def set_global(ctx: Context, changes: Values, *, command: str = "config:set") -> Outcome:
    """Set config vars of all apps; they take part in each app's next release."""
    return _change_global(ctx, lambda before: {**before, **changes}, command)


def unset_global(ctx: Context, keys: Sequence[str], *, command: str = "config:unset") -> Outcome:
    """Remove config vars of all apps; they leave with each app's next release."""
    return _change_global(ctx, lambda before: _without(before, keys), command)


def replace_global(ctx: Context, values: Values, *, command: str = "config:import") -> Outcome:
    """Make these all the config vars that hold for all apps."""
    return _change_global(ctx, lambda _before: values, command)


def _change(
    ctx: Context, app_name: str, change: Callable[[Values], Values], command: str, *, touched: Collection[str] | None,
    restart: bool,
) -> Outcome:
    ctx.state.apps.get(app_name)
    with release_turn(ctx, app_name, command):
        app = ctx.state.apps.get(app_name)
        before = ctx.state.config.get(app_name)
        after = change(before)
        seen = {**ctx.state.config.get(""), **after}
        diff = config_diff(before, after) or (_not_live_yet(ctx, app, seen, touched) if restart else ())
        if not diff:
            return Outcome.UNCHANGED
        cause = " ".join((command, *diff))

        def record() -> None:
            ctx.state.config.replace(app.name, after)
            ctx.state.events.record(app.name, ctx.identity.name, command, " ".join(diff), ctx.now())

        live = change_release(ctx, app, record, cause=cause, config=seen, restart=restart)
        return Outcome.LIVE if live is not None else Outcome.RECORDED


def _not_live_yet(ctx: Context, app: App, seen: Values, touched: Collection[str] | None) -> tuple[str, ...]:
    """Return what the running release still lacks of what was asked for: it was set with --no-restart before."""
    current = ctx.state.releases.current(app.name)
    if current is None or app.is_stopped:
        return ()
    return tuple(line for line in config_diff(current.config, seen) if touched is None or line[1:] in touched)


def _change_global(ctx: Context, change: Callable[[Values], Values], command: str) -> Outcome:
    with ctx.state.transaction():
        before = ctx.state.config.get("")
        after = change(before)
        if after == before:
            return Outcome.UNCHANGED
        ctx.state.config.replace("", after)
        ctx.state.events.record("", ctx.identity.name, command, " ".join(config_diff(before, after)), ctx.now())
    return Outcome.RECORDED


def _without(values: Values, keys: Collection[str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key not in keys}
