"""Disk collection: what no release that may be rolled back to needs."""

from __future__ import annotations

from paas.context import Context
from paas.model.release import ReleaseStatus

#: Logs of so many builds are kept for each app (Dokku keeps 20).
BUILDS_KEEP = 20


def kept_images(ctx: Context) -> frozenset[str]:
    """Return the images of every app's current release and of its newest ones that served, before and after predeploy."""
    kept: set[str] = set()
    for app in ctx.state.apps.list():
        releases = sorted(ctx.state.releases.list(app.name), key=lambda r: r.version, reverse=True)
        useful = [r for r in releases if r.status is not ReleaseStatus.FAILED]
        in_use = [r for r in releases if r.status in (ReleaseStatus.CURRENT, ReleaseStatus.PENDING)]
        built = {build.id: build.image for build in ctx.state.builds.list(app.name)}
        for release in (*useful[: ctx.settings.releases_keep], *in_use):
            kept |= {release.image, built.get(release.build_id) or release.image}
    return frozenset(kept)


def collect(ctx: Context) -> tuple[str, ...]:
    """Remove images that nothing keeps and logs of old builds; return the images that went."""
    for app in ctx.state.apps.list():
        builds = sorted(ctx.state.builds.list(app.name), key=lambda b: b.id, reverse=True)
        for build in builds[BUILDS_KEEP:]:
            ctx.paths.build_log(build.id).unlink(missing_ok=True)
    return ctx.engine.prune_images(kept_images(ctx))
