"""Changes of an app's domains and ports: the proxy must accept them before they are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paas.context import Context
from paas.deploy import routing
from paas.deploy.intent import formation_now, serving_now
from paas.deploy.queue import app_turn
from paas.errors import Conflict, InvalidInput
from paas.model.app import App
from paas.model.process import RELEASE, WEB
from paas.model.route import Backend, PortMap, Vhost, clashing_ports

#: Turn of what belongs to no app; no app can have this name.
GLOBAL = "_global"


def apply_routes(ctx: Context, app: App) -> None:
    """Bring the proxy to the app's recorded routes and running containers."""
    release = ctx.state.releases.current(app.name)
    if release is not None:
        vhost = routing.vhost_for(ctx, app.name, release)
        _refuse_mapped_twice(vhost)
        routing.switch(ctx, app, release, serving_now(ctx, app), formation_now(ctx, app))


def change_domains(
    ctx: Context, app_name: str, change: Callable[[tuple[str, ...]], Sequence[str]], *, process: str = WEB
) -> tuple[str, ...]:
    """Replace the app's domains by `change(current)`: the proxy first, the record after it answers.

    With another `process` than web, those of that type alone. None, or exactly the default ones, follow the app's name and the
    global domains again. Raises Conflict when another app has one of them.
    """
    with app_turn(ctx, app_name, "domains"):
        app = ctx.state.apps.get(app_name)
        _refuse_unknown_type(ctx, app, process)
        before = routing.app_domains(ctx, app_name) if process == WEB else ctx.state.routes.domains(app_name, process)
        after = tuple(dict.fromkeys(change(before)))
        refuse_taken(ctx, app_name, after, process=process)
        if process == WEB and after == routing.default_domains(ctx, app_name):
            after = ()
        with ctx.state.transaction():
            ctx.state.routes.set_domains(app_name, after, process)
            apply_routes(ctx, app)
            ctx.state.events.record(app_name, ctx.identity.name, "domains", _of(process, after), ctx.now())
    return routing.app_domains(ctx, app_name) if process == WEB else after


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


def change_ports(
    ctx: Context, app_name: str, change: Callable[[tuple[PortMap, ...]], Sequence[PortMap]], *, process: str = WEB
) -> tuple[PortMap, ...]:
    """Replace the port maps of a process type by `change(current)`; the record goes back if the proxy refuses.

    None, or exactly the detected ones, follow what the image exposes again.
    """
    with app_turn(ctx, app_name, "ports"):
        app = ctx.state.apps.get(app_name)
        _refuse_unknown_type(ctx, app, process)
        release = ctx.state.releases.current(app_name)
        recorded = ctx.state.routes.ports(app_name)
        others = tuple(port for port in recorded if port.process != process)
        before = routing.app_ports(ctx, app_name, release) if process == WEB else _of_type(recorded, process)
        after = tuple(dict.fromkeys(change(before)))
        if process == WEB and after == routing.detected_ports(ctx, release):
            after = ()
        refuse_host_twice((*others, *(after or before if process == WEB else after)))
        with ctx.state.transaction():
            ctx.state.routes.set_ports(app_name, (*after, *others))
            apply_routes(ctx, app)
            ctx.state.events.record(app_name, ctx.identity.name, "ports", _of(process, after), ctx.now())
    return routing.app_ports(ctx, app_name, release) if process == WEB else after


def route_path(ctx: Context, app_name: str, path: str, backend: Backend | None, *, strips_prefix: bool = False) -> None:
    """Send requests below a path of the app's names to another process type, or (None) to web again."""
    with app_turn(ctx, app_name, "proxy:route"):
        app = ctx.state.apps.get(app_name)
        if backend is not None:
            _refuse_unknown_type(ctx, app, backend.process)
        value = f"{backend.process}:{backend.port}{':strip' if strips_prefix else ''}" if backend else ""
        with ctx.state.transaction():
            ctx.state.properties.set(app_name, routing.PATHS, path, value)
            apply_routes(ctx, app)
            ctx.state.events.record(app_name, ctx.identity.name, "proxy:route", f"{path} {value}".rstrip(), ctx.now())


def _names_of(ctx: Context, app: App, candidates: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the names of the app by process type; those that follow from the release only if a candidate may be one."""
    domains = routing.app_domains(ctx, app.name)
    own = ctx.state.routes.process_domains(app.name)
    if any(name.endswith(f".{domain}") for name in candidates for domain in domains):
        own = routing.own_domains(ctx, app.name, ctx.state.releases.current(app.name), domains)
    return {WEB: domains, **own}


def _of_type(ports: Sequence[PortMap], process: str) -> tuple[PortMap, ...]:
    return tuple(port for port in ports if port.process == process)


def _of(process: str, words: Sequence[object]) -> str:
    return " ".join(map(str, words if process == WEB else (process, *words)))


def _refuse_unknown_type(ctx: Context, app: App, process: str) -> None:
    """Raise InvalidInput for a type that the deployed release does not have; before the first deploy any may come."""
    release = ctx.state.releases.current(app.name)
    if release is not None and release.process(process) is None and process != WEB:
        known = ", ".join(p.name for p in release.processes if p.name != RELEASE)
        raise InvalidInput(f"{process} is not a process type of {app.name}", remedy=f"it has: {known}")


def refuse_host_twice(ports: Sequence[PortMap]) -> None:
    """Raise Conflict when one type maps a host port twice."""
    seen: dict[tuple[int, str], PortMap] = {}
    for port in ports:
        other = seen.setdefault((port.host, port.process), port)
        if other is not port:
            raise Conflict(f"port {port.host} is mapped twice: {other} and {port}", remedy="remove one of them")


def _refuse_mapped_twice(vhost: Vhost) -> None:
    clash = clashing_ports(vhost)
    if clash is not None:
        first, second = clash
        raise Conflict(
            f"port {second.host} is mapped twice at {', '.join(vhost.domains_of(second.process))}: "
            f"{first} for {first.process} and {second} for {second.process}",
            remedy=f"use another port, or a name of its own: paas domains:add {vhost.app} <domain> --process {second.process}",
        )


def refuse_taken(ctx: Context, app: str, domains: Sequence[str], *, process: str = WEB) -> None:
    """Raise Conflict when an app other than this one, or another of its process types, answers at one of the domains."""
    for other in ctx.state.apps.list():
        for owner, names in _names_of(ctx, other, domains).items():
            taken = set(names) & set(domains)
            if taken and (other.name, owner) != (app, process):
                domain = min(taken)
                of_type = "" if owner == WEB else f" --process {owner}"
                raise Conflict(
                    f"{domain} belongs to {other.name}{of_type and f' ({owner})'}",
                    remedy=f"run: paas domains:remove {other.name} {domain}{of_type}",
                )
