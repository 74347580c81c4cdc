"""Intent: what should run now, read from the state. Nothing here starts or stops anything."""

from __future__ import annotations

from collections.abc import Mapping

from paas.context import Context
from paas.deploy import routing
from paas.errors import Conflict
from paas.model.app import App
from paas.model.container import Container
from paas.model.process import WEB, ProcessId, default_formation
from paas.model.release import Build, Release, frozen_properties
from paas.schedulers import Deployment


def deployment_for(
    ctx: Context, app: App, release: Release, *, scaled: Mapping[str, int] | None = None, settings_of: str = "",
    only: frozenset[ProcessId] | None = None, at_once: int = 0,
) -> Deployment:
    """Return what should run for this release with the app's recorded counts (or the ones given) and properties."""
    owner = settings_of or app.name
    scaled = ctx.state.apps.formation(owner) if scaled is None else scaled
    vhost = routing.vhost_for(ctx, app.name, release, settings_of=settings_of)
    web = vhost.ports_of(WEB) or tuple(port.container for port in routing.app_ports(ctx, owner, release))
    return Deployment(
        app=app,
        release=release,
        formation=formation_of(release, scaled),
        generations=ctx.state.apps.generations(owner),
        ports=web,
        other_ports={p.name: vhost.ports_of(p.name) for p in release.processes if p.name != WEB},
        properties={**_live(ctx.state.properties.merged(owner)), **release.properties},
        only=only,
        at_once=at_once,
        host=next((domain.removeprefix("*.") for domain in vhost.domains), app.name),
    )


def formation_of(release: Release | Build, scaled: Mapping[str, int]) -> dict[str, int]:
    """Return how many of each process type should run: what app.json says, what was scaled, one web. Pure."""
    return default_formation(release.processes, {**scaled, **release.app_json.quantities})


def _live(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties that hold at once: all but those that wait for a release."""
    frozen = frozen_properties(properties)
    return {key: value for key, value in properties.items() if key not in frozen}


def deployed_release(ctx: Context, app_name: str) -> Release:
    """Return the app's current release. Raises NotFound for an unknown app, Conflict for one that was never deployed."""
    app = ctx.state.apps.get(app_name)
    release = ctx.state.releases.current(app_name)
    if release is None:
        raise Conflict(f"App {app_name} has not been deployed", remedy=f"git push paas {app.deploy_branch or 'master'}")
    return release


def current_deployment(ctx: Context, app: App, *, only: frozenset[ProcessId] | None = None) -> Deployment | None:
    """Return what should run now, or None for an app that is stopped or not deployed."""
    release = ctx.state.releases.current(app.name)
    if release is None or app.is_stopped:
        return None
    return deployment_for(ctx, app, release, only=only)


def formation_now(ctx: Context, app: App) -> Mapping[str, int]:
    """Return how many of each type should run now: none of an app that is stopped or not deployed."""
    release = ctx.state.releases.current(app.name)
    return {} if release is None or app.is_stopped else formation_of(release, ctx.state.apps.formation(app.name))


def serving_now(ctx: Context, app: App) -> tuple[Container, ...]:
    """Return the running containers of the app's current deployment."""
    deployment = current_deployment(ctx, app)
    return ctx.scheduler.serving(deployment) if deployment is not None else ()
