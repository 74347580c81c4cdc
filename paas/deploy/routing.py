"""Routes: which names and ports lead to which app, and the one switch that moves them to new containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from paas.context import Context
from paas.model.app import App
from paas.model.container import LABEL_TYPE, Container
from paas.model.process import WEB
from paas.model.release import Release
from paas.model.route import Backend, PathRoute, PortMap, Upstream, Vhost, default_ports, own_name
from paas.proxies import Upstreams

#: Properties of this topic are paths, their values `<process>:<port>[:strip]`.
PATHS = "proxy"


def app_ports(ctx: Context, app: str, release: Release | None) -> tuple[PortMap, ...]:
    """Return the port maps of the app's web type: what was set, else the detected ones."""
    own = tuple(port for port in ctx.state.routes.ports(app) if port.process == WEB)
    return own or detected_ports(ctx, release)


def other_ports(ctx: Context, app: str, release: Release | None, own_domains: Mapping[str, object]) -> tuple[PortMap, ...]:
    """Return the port maps of all other types: what was set, else the usual port for those with a name of their own."""
    mapped = tuple(port for port in ctx.state.routes.ports(app) if port.process != WEB)
    named = own_domains.keys() - {port.process for port in mapped}
    usual = detected_ports(ctx, release)[0]
    return (*mapped, *(replace(usual, process=name) for name in sorted(named)))


def detected_ports(ctx: Context, release: Release | None) -> tuple[PortMap, ...]:
    """Return the default port maps for what the release's image exposes."""
    return default_ports(release.ports if release else (), ctx.settings.http_port)


def app_domains(ctx: Context, app: str) -> tuple[str, ...]:
    """Return the app's domains: what was set, else the default ones."""
    return ctx.state.routes.domains(app) or default_domains(ctx, app)


def own_domains(ctx: Context, app: str, release: Release | None, domains: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the process types with names of their own: what was set, and `admin.<domain>` for a `web-admin` without a port."""
    found = dict(ctx.state.routes.process_domains(app))
    mapped = {port.process for port in ctx.state.routes.ports(app)}
    for process in release.processes if release else ():
        label = own_name(process.name)
        if label and process.name not in found and process.name not in mapped:
            found[process.name] = tuple(f"{label}.{domain}" for domain in domains if not domain.startswith("*"))
    return found


def path_routes(ctx: Context, app: str) -> tuple[PathRoute, ...]:
    """Return the app's routed paths."""
    found = []
    for path, value in ctx.state.properties.get(app, PATHS).items():
        process, port, *flags = value.split(":")
        backend = Backend(process=process, port=int(port))
        found.append(PathRoute(path=path, backend=backend, strips_prefix="strip" in flags))
    return tuple(found)


def default_domains(ctx: Context, app: str) -> tuple[str, ...]:
    """Return `<app>.<global domain>` for each global domain; an app named like a host is its own domain."""
    global_domains = ctx.state.routes.domains("") or (ctx.settings.domain,)
    return (app,) if "." in app else tuple(f"{app}.{name}" for name in global_domains)


def vhost_for(ctx: Context, app: str, release: Release | None, *, settings_of: str = "") -> Vhost:
    """Return what the proxy should serve for the app. `settings_of` names the app whose routes count while it is renamed."""
    owner = settings_of or app
    properties = ctx.state.properties.merged(owner)
    domains = app_domains(ctx, owner) if not settings_of or ctx.state.routes.domains(owner) else app_domains(ctx, app)
    own = own_domains(ctx, owner, release, domains)
    there = {process.name for process in release.processes} if release else {WEB}
    ports = (*app_ports(ctx, owner, release), *other_ports(ctx, owner, release, own))
    return Vhost(
        app=app,
        domains=domains,
        ports=tuple(port for port in ports if port.process in there),
        properties=tuple(sorted((k.removeprefix("nginx."), v) for k, v in properties.items() if k.startswith("nginx."))),
        own_domains=tuple((name, names) for name, names in sorted(own.items()) if name in there),
        paths=tuple(path for path in path_routes(ctx, owner) if path.backend.process in there),
    )


def upstreams_for(vhost: Vhost, containers: Iterable[Container], formation: Mapping[str, int]) -> Upstreams:
    """Return where each backend is answered: the running containers of its type. Without a count there is none. Pure."""
    reachable = [c for c in containers if c.address]
    return {
        str(backend): [
            Upstream(address=c.address, port=backend.port) for c in reachable if c.labels.get(LABEL_TYPE) == backend.process
        ]
        for backend in vhost.backends()
        if formation.get(backend.process, 0)
    }


def switch(ctx: Context, app: App, release: Release, serving: Iterable[Container], formation: Mapping[str, int]) -> None:
    """Send every new request to these containers, of so many that should run. On RoutingFailed nothing has changed."""
    vhost = vhost_for(ctx, app.name, release)
    if not vhost.ports:
        ctx.proxy.remove(app.name)
        return
    ctx.proxy.apply(vhost, upstreams_for(vhost, ready(ctx, serving), formation))


def ready(ctx: Context, containers: Iterable[Container]) -> tuple[Container, ...]:
    """Return those that have not failed a readiness check since they last passed it."""
    unready = ctx.scheduler.unready()
    return tuple(container for container in containers if container.id not in unready)


def app_urls(ctx: Context, app: str, release: Release | None = None) -> tuple[str, ...]:
    """Return the URLs at which the app answers, and those of its process types with names or ports of their own."""
    vhost = vhost_for(ctx, app, release or ctx.state.releases.current(app))
    defaults = {"http": 80, "https": 443}
    return tuple(
        f"{port.scheme}://{domain}" + ("" if port.host == defaults[port.scheme] else f":{port.host}")
        for port in vhost.ports
        for domain in vhost.domains_of(port.process)
    )
