"""Intent: what should run now, read from the state. Nothing here starts or stops anything."""

from __future__ import annotations

from collections.abc import Mapping

from paas.context import Context
from paas.deploy import routing
from paas.errors import Conflict
from paas.model.app import App
from paas.model.container import Container
from paas.model.process import ProcessId, default_formation
from paas.model.release import Release
from paas.schedulers import Deployment


def deployment_for(
    ctx: Context, app: App, release: Release, *, formation: Mapping[str, int] | None = None,
    generations: Mapping[str, int] | None = None, settings_of: str = "", only: frozenset[ProcessId] | None = None,
) -> Deployment:
    """Return what should run for this release with the app's recorded formation and properties, or with the ones given."""
    owner = settings_of or app.name
    scaled = ctx.state.apps.formation(owner) if formation is None else formation
    ports = tuple(dict.fromkeys(port.container for port in routing.app_ports(ctx, owner, release)))
    return Deployment(
        app=app,
        release=release,
        formation=default_formation(release.processes, scaled),
        generations=ctx.state.apps.generations(owner) if generations is None else generations,
        ports=ports,
        properties=ctx.state.properties.merged(owner),
        only=only,
    )


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
