"""Release: a build with a config and a formation, numbered. What runs is always some release."""

from __future__ import annotations

from collections.abc import Mapping

from paas.context import Context
from paas.deploy import scripts
from paas.deploy.intent import deployed_release, formation_of
from paas.deploy.retention import releases_kept
from paas.errors import Conflict, NotFound
from paas.model.app import App
from paas.model.release import Build, Release, ReleaseStatus, frozen_properties


def create_release(ctx: Context, app: App, build: Build, *, cause: str) -> Release:
    """Append a release of this build with the app's config, and run its predeploy and release tasks.

    Nothing of the old release is touched. Raises TaskFailed.
    """
    ctx.output.step(f"Releasing {app.name}...")
    with ctx.output.timed("append the release"):
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


def rollback_target(ctx: Context, app: App, version: int | None) -> Release:
    """Return the release to go back to: the one named, else the newest that served before. Raises NotFound, Conflict."""
    current = deployed_release(ctx, app.name)
    hint = f"see: paas releases:list {app.name}"
    if version is None:
        earlier = [r for r in ctx.state.releases.list(app.name) if r.version < current.version and r.status.has_served]
        if not earlier:
            raise Conflict(f"{app.name} has no earlier release to go back to", remedy=hint)
        target = earlier[0]
    else:
        target = ctx.state.releases.get(app.name, version)
    if target.version == current.version:
        raise Conflict(f"v{version} of {app.name} is the current release", remedy=hint)
    if not target.status.has_served:
        raise Conflict(f"v{target.version} of {app.name} never served: it {_fate(target)}", remedy=hint)
    _require_image(ctx, app, target)
    return target


def _fate(release: Release) -> str:
    return "failed" if release.status is ReleaseStatus.FAILED else "is not live yet"


def _require_image(ctx: Context, app: App, target: Release) -> None:
    try:
        ctx.engine.image_entrypoint(target.image)
    except NotFound as exc:
        keep = releases_kept(ctx, app.name)
        raise Conflict(
            f"The image of v{target.version} of {app.name} is gone: the newest {keep} releases keep theirs",
            remedy=f"choose one of: paas releases:list {app.name}; or keep more: paas releases:set {app.name} keep {keep * 2}",
        ) from exc
