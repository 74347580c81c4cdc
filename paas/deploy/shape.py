"""Properties that shape containers (limits, engine options): for a running app a change of them is a release of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paas.context import Context
from paas.deploy.change import change_release
from paas.deploy.queue import release_turn

#: A topic's own properties -> what they shall be.
Change = Callable[[Mapping[str, str]], Mapping[str, str]]


def change_shape(ctx: Context, scope: str, topic: str, change: Change, *, cause: str, restart: bool = True) -> bool:
    """Replace the properties of a topic; say whether anything changed. Of all apps ('') they take part in each next release.

    When the release fails its checks, the old one keeps serving and the properties stay as they were.
    """
    if not scope:
        return _record(ctx, "", topic, change(ctx.state.properties.get("", topic)), cause)
    with release_turn(ctx, scope, cause.partition(" ")[0]):
        app = ctx.state.apps.get(scope)
        before = ctx.state.properties.get(scope, topic)
        after = {key: value for key, value in change(before).items() if value}
        if after == before:
            return False
        shared = {f"{topic}.{key}": value for key, value in ctx.state.properties.get("", topic).items()}
        others = {k: v for k, v in ctx.state.properties.merged(scope).items() if not k.startswith(f"{topic}.")}
        merged = {**others, **shared, **{f"{topic}.{key}": value for key, value in after.items()}}

        def record() -> None:
            _record(ctx, scope, topic, after, cause)

        change_release(ctx, app, record, cause=cause, properties=merged, restart=restart)
        return True


def _record(ctx: Context, scope: str, topic: str, after: Mapping[str, str], cause: str) -> bool:
    before = ctx.state.properties.get(scope, topic)
    verb, _, detail = cause.partition(" ")
    with ctx.state.transaction():
        for key in before.keys() | after.keys():
            ctx.state.properties.set(scope, topic, key, after.get(key, ""))
        ctx.state.events.record(scope, ctx.identity.name, verb, detail, ctx.now())
    return dict(before) != dict(after)
