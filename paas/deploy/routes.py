"""Changes of an app's domains and ports: the proxy must accept them before they are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paas.context import Context
from paas.deploy import routing
from paas.deploy.intent import serving_now
from paas.deploy.queue import app_turn
from paas.errors import Conflict
from paas.model.app import App
from paas.model.route import PortMap

#: Turn of what belongs to no app; no app can have this name.
GLOBAL = "_global"


def apply_routes(ctx: Context, app: App) -> None:
    """Bring the proxy to the app's recorded routes and running containers."""
    release = ctx.state.releases.current(app.name)
    if release is not None:
        routing.switch(ctx, app, release, serving_now(ctx, app))


def change_domains(ctx: Context, app_name: str, change: Callable[[tuple[str, ...]], Sequence[str]]) -> tuple[str, ...]:
    """Replace the app's domains by `change(current)`: the proxy first, the record after it answers.

    None, or exactly the default ones, follow the app's name and the global domains again. Raises Conflict when another app
    has one of them.
    """
    with app_turn(ctx, app_name, "domains"):
        app = ctx.state.apps.get(app_name)
        after = tuple(dict.fromkeys(change(routing.app_domains(ctx, app_name))))
        refuse_taken(ctx, app_name, after)
        if after == routing.default_domains(ctx, app_name):
            after = ()
        with ctx.state.transaction():
            ctx.state.routes.set_domains(app_name, after)
            apply_routes(ctx, app)
            ctx.state.events.record(app_name, ctx.identity.name, "domains", " ".join(after), ctx.now())
    return routing.app_domains(ctx, app_name)


def change_global_domains(ctx: Context, change: Callable[[tuple[str, ...]], Sequence[str]]) -> tuple[str, ...]:
    """Replace the global domains by `change(current)` and every app's default domain with them."""
    with app_turn(ctx, GLOBAL, "domains"), ctx.state.transaction():
        after = tuple(dict.fromkeys(change(ctx.state.routes.domains("") or (ctx.settings.domain,))))
        ctx.state.routes.set_domains("", after)
        for app in ctx.state.apps.list():
            if not ctx.state.routes.domains(app.name):
                apply_routes(ctx, app)
        ctx.state.events.record("", ctx.identity.name, "domains:set-global", " ".join(after), ctx.now())
    return after


def change_property(ctx: Context, app_name: str, key: str, value: str) -> None:
    """Set a property of the app's vhost, or of all ('' for the app); the record goes back if the proxy refuses."""
    with app_turn(ctx, app_name or GLOBAL, "nginx:set"):
        apps = (ctx.state.apps.get(app_name),) if app_name else ctx.state.apps.list()
        with ctx.state.transaction():
            ctx.state.properties.set(app_name, "nginx", key, value)
            for app in apps:
                apply_routes(ctx, app)
            ctx.state.events.record(app_name, ctx.identity.name, "nginx:set", f"{key} {value}".rstrip(), ctx.now())


def change_ports(ctx: Context, app_name: str, change: Callable[[tuple[PortMap, ...]], Sequence[PortMap]]) -> tuple[PortMap, ...]:
    """Replace the app's port maps by `change(current)`; the record goes back if the proxy refuses.

    None, or exactly the detected ones, follow what the image exposes again.
    """
    with app_turn(ctx, app_name, "ports"):
        app = ctx.state.apps.get(app_name)
        release = ctx.state.releases.current(app_name)
        after = tuple(dict.fromkeys(change(routing.app_ports(ctx, app_name, release))))
        _refuse_mapped_twice(after)
        if after == routing.detected_ports(ctx, release):
            after = ()
        with ctx.state.transaction():
            ctx.state.routes.set_ports(app_name, after)
            apply_routes(ctx, app)
            ctx.state.events.record(app_name, ctx.identity.name, "ports", " ".join(map(str, after)), ctx.now())
    return routing.app_ports(ctx, app_name, release)


def _refuse_mapped_twice(ports: Sequence[PortMap]) -> None:
    seen: dict[int, PortMap] = {}
    for port in ports:
        if port.host in seen:
            raise Conflict(f"port {port.host} is mapped twice: {seen[port.host]} and {port}", remedy="remove one of them")
        seen[port.host] = port


def refuse_taken(ctx: Context, app: str, domains: Sequence[str]) -> None:
    """Raise Conflict when an app other than this one answers at one of the domains."""
    for other in ctx.state.apps.list():
        if other.name == app:
            continue
        for domain in set(routing.app_domains(ctx, other.name)) & set(domains):
            raise Conflict(f"{domain} belongs to {other.name}", remedy=f"run: paas domains:remove {other.name} {domain}")
