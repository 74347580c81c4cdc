"""Release: a build with a config and a formation, numbered. What runs is always some release."""

from __future__ import annotations

from collections.abc import Mapping

from paas.context import Context
from paas.deploy import scripts
from paas.deploy.intent import deployed_release, formation_of
from paas.errors import Conflict, NotFound
from paas.model.app import App
from paas.model.release import Build, Release, ReleaseStatus, frozen_properties


def create_release(ctx: Context, app: App, build: Build, *, cause: str) -> Release:
    """Append a release of this build with the app's config, and run its predeploy and release tasks.

    Nothing of the old release is touched. Raises TaskFailed.
    """
    ctx.output.step(f"Releasing {app.name}...")
    close_interrupted(ctx, app)
    release = ctx.state.releases.append(
        app=app.name,
        build_id=build.id,
        image=build.image,
        processes=build.processes,
        ports=build.ports,
        config={**ctx.state.config.merged(app.name), **build.added_config},
        formation=formation_of(build, ctx.state.apps.formation(app.name)),
        actor=ctx.identity.name,
        cause=cause,
        revision=build.revision,
        app_json=build.app_json,
        properties=frozen_properties(ctx.state.properties.merged(app.name)),
        now=ctx.now(),
    )
    return scripts.before_switch(ctx, app, release)


def derive_release(
    ctx: Context, app: App, base: Release, *, cause: str, config: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
) -> Release:
    """Append a release with the image of `base`, another config (or the base's own) and these properties (or the app's)."""
    if properties is None:
        properties = ctx.state.properties.merged(app.name)
    close_interrupted(ctx, app)
    return ctx.state.releases.append(
        app=app.name,
        build_id=base.build_id,
        image=base.image,
        processes=base.processes,
        ports=base.ports,
        config=base.config if config is None else config,
        formation=formation_of(base, ctx.state.apps.formation(app.name)),
        actor=ctx.identity.name,
        cause=cause,
        revision=base.revision,
        app_json=base.app_json,
        properties=frozen_properties(properties),
        now=ctx.now(),
    )


def close_interrupted(ctx: Context, app: App) -> None:
    """Mark releases that a dead command left pending as failed. The caller holds the app's turn, so nobody works on them."""
    for release in ctx.state.releases.list(app.name):
        if release.status is ReleaseStatus.PENDING:
            ctx.state.releases.mark(app.name, release.version, ReleaseStatus.FAILED)


def rollback_target(ctx: Context, app: App, version: int | None) -> Release:
    """Return the release to go back to: the one named, else the newest superseded one. Raises NotFound, Conflict."""
    current = deployed_release(ctx, app.name)
    if version is None:
        earlier = [
            r for r in ctx.state.releases.list(app.name)
            if r.version < current.version and r.status in (ReleaseStatus.SUPERSEDED, ReleaseStatus.ROLLED_BACK)
        ]  # fmt: skip
        if not earlier:
            raise Conflict(f"{app.name} has no earlier release to go back to", remedy=f"see: paas releases:list {app.name}")
        return max(earlier, key=lambda r: r.version)
    target = ctx.state.releases.get(app.name, version)
    if target.version == current.version:
        raise Conflict(f"v{version} of {app.name} is the current release", remedy=f"see: paas releases:list {app.name}")
    if target.status is ReleaseStatus.FAILED:
        raise Conflict(f"v{version} of {app.name} never served: it failed", remedy=f"see: paas releases:list {app.name}")
    if not target.image:
        raise NotFound(f"v{version} of {app.name} has no image", remedy=f"see: paas releases:list {app.name}")
    return target
