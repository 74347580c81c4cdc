"""Disk collection: what no release that may be rolled back to needs."""

from __future__ import annotations

from paas.context import Context
from paas.deploy.retention import kept_releases, prune_deploys
from paas.host.caches import prune_caches


def kept_images(ctx: Context) -> frozenset[str]:
    """Return the images of every app's kept releases, before and after predeploy, and of deploys under way."""
    kept = {build.image for build in ctx.state.builds.running() if build.image}
    for app in ctx.state.apps.list():
        built = {build.id: build.image for build in ctx.state.builds.list(app.name)}
        for release in kept_releases(ctx, app.name):
            kept |= {release.image, built.get(release.build_id) or release.image}
    return frozenset(kept)


def prune_mounted_caches(ctx: Context, *, max_bytes: int) -> None:
    """Remove directories of `RUN --mount=type=cache` beyond so many bytes, those of all apps together, the last used kept."""
    places = [*ctx.paths.cache.glob("*/dockerfile/mounts"), *ctx.paths.cache.glob("*/mounts")]
    prune_caches(places, max_bytes=max_bytes)


def collect(ctx: Context) -> tuple[str, ...]:
    """Remove images that nothing keeps and records of old deploys; return the images that went."""
    prune_mounted_caches(ctx, max_bytes=ctx.settings.build_cache_mb << 20)
    removed = ctx.engine.prune_images(kept_images(ctx))
    for app in ctx.state.apps.list():  # last, as it writes, and there may be no room before
        prune_deploys(ctx, app.name)
    return removed
