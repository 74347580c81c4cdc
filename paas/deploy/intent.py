"""Intent: what should run now, read from the state. Nothing here starts or stops anything."""

from __future__ import annotations

from collections.abc import Mapping

from paas.context import Context
from paas.deploy import routing
from paas.errors import Conflict
from paas.model.app import App
from paas.model.container import Container
from paas.model.process import ProcessId, default_formation
from paas.model.release import Release, frozen_properties
from paas.schedulers import Deployment


def deployment_for(
    ctx: Context, app: App, release: Release, *, scaled: Mapping[str, int] | None = None, settings_of: str = "",
    only: frozenset[ProcessId] | None = None, at_once: int = 0,
) -> Deployment:
    """Return what should run for this release with the app's recorded counts (or the ones given) and properties."""
    owner = settings_of or app.name
    scaled = ctx.state.apps.formation(owner) if scaled is None else scaled
    ports = tuple(dict.fromkeys(port.container for port in routing.app_ports(ctx, owner, release)))
    return Deployment(
        app=app,
        release=release,
        formation=formation_of(release, scaled),
        generations=ctx.state.apps.generations(owner),
        ports=ports,
        properties={**_live(ctx.state.properties.merged(owner)), **release.properties},
        only=only,
        at_once=at_once,
    )


def formation_of(release: Release, scaled: Mapping[str, int]) -> dict[str, int]:
    """Return how many of each of the release's process types should run. Pure."""
    return default_formation(release.processes, scaled)


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


def serving_now(ctx: Context, app: App) -> tuple[Container, ...]:
    """Return the running containers of the app's current deployment."""
    deployment = current_deployment(ctx, app)
    return ctx.scheduler.serving(deployment) if deployment is not None else ()
