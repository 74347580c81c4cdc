"""Routes: which names and ports lead to which app, and the one switch that moves them to new containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from paas.context import Context
from paas.model.app import App
from paas.model.container import LABEL_TYPE, Container
from paas.model.process import WEB
from paas.model.release import Release
from paas.model.route import PortMap, Upstream, Vhost, default_ports

Upstreams = Mapping[int, Sequence[Upstream]]


def app_ports(ctx: Context, app: str, release: Release | None) -> tuple[PortMap, ...]:
    """Return the app's port maps: what was set, else the detected ones."""
    return ctx.state.routes.ports(app) or detected_ports(ctx, release)


def detected_ports(ctx: Context, release: Release | None) -> tuple[PortMap, ...]:
    """Return the default port maps for what the release's image exposes."""
    return default_ports(release.ports if release else (), ctx.settings.http_port)


def app_domains(ctx: Context, app: str) -> tuple[str, ...]:
    """Return the app's domains: what was set, else the default ones."""
    return ctx.state.routes.domains(app) or default_domains(ctx, app)


def default_domains(ctx: Context, app: str) -> tuple[str, ...]:
    """Return `<app>.<global domain>` for each global domain; an app named like a host is its own domain."""
    global_domains = ctx.state.routes.domains("") or (ctx.settings.domain,)
    return (app,) if "." in app else tuple(f"{app}.{name}" for name in global_domains)


def vhost_for(ctx: Context, app: str, release: Release | None, *, settings_of: str = "") -> Vhost:
    """Return what the proxy should serve for the app. `settings_of` names the app whose routes count while it is renamed."""
    owner = settings_of or app
    properties = ctx.state.properties.merged(owner)
    return Vhost(
        app=app,
        domains=app_domains(ctx, owner) if not settings_of or ctx.state.routes.domains(owner) else app_domains(ctx, app),
        ports=app_ports(ctx, owner, release),
        properties=tuple(sorted((k.removeprefix("nginx."), v) for k, v in properties.items() if k.startswith("nginx."))),
    )


def upstreams_for(vhost: Vhost, containers: Iterable[Container]) -> Upstreams:
    """Return where each routed container port is answered: the running web containers. Pure."""
    web = [c for c in containers if c.labels.get(LABEL_TYPE) == WEB and c.address]
    ports = {port.container for port in vhost.ports}
    return {port: [Upstream(address=c.address, port=port) for c in web] for port in sorted(ports)}


def switch(ctx: Context, app: App, release: Release, serving: Iterable[Container]) -> None:
    """Send every new request to these containers. Raises RoutingFailed, and then nothing has changed."""
    if not release.has_web:
        ctx.proxy.remove(app.name)
        return
    vhost = vhost_for(ctx, app.name, release)
    ctx.proxy.apply(vhost, upstreams_for(vhost, serving))


def app_urls(ctx: Context, app: str, release: Release | None = None) -> tuple[str, ...]:
    """Return the URLs at which the app answers."""
    release = release or ctx.state.releases.current(app)
    defaults = {"http": 80, "https": 443}
    return tuple(
        f"{port.scheme}://{domain}" + ("" if port.host == defaults[port.scheme] else f":{port.host}")
        for port in app_ports(ctx, app, release)
        for domain in app_domains(ctx, app)
    )
