"""What is kept of an app's past: releases with their images for rollback, deploys with their logs."""

from __future__ import annotations

from paas.context import Context
from paas.model.release import BuildStatus, Release, ReleaseStatus

#: Of so many releases the images are kept (`releases:set keep`); without it what paas.toml says.
KEEP_PROPERTY = "releases.keep"
#: Records and logs of so many deploys are kept for each app (`builds:set retention`), as Dokku does.
RETENTION_PROPERTY, RETENTION = "builds.retention", 20


def releases_kept(ctx: Context, app_name: str) -> int:
    """Return of how many releases of the app the images are kept for rollback."""
    return int(ctx.state.properties.merged(app_name).get(KEEP_PROPERTY) or ctx.settings.releases_keep)


def kept_releases(ctx: Context, app_name: str) -> tuple[Release, ...]:
    """Return the releases whose images are kept: the newest of those that did not fail, what serves and what is pending."""
    alive = [r for r in ctx.state.releases.list(app_name) if r.status is not ReleaseStatus.FAILED]
    keep = releases_kept(ctx, app_name)
    return (*alive[:keep], *(r for r in alive[keep:] if r.status in (ReleaseStatus.CURRENT, ReleaseStatus.PENDING)))


def prune_deploys(ctx: Context, app_name: str) -> int:
    """Forget the oldest deploys of an app beyond its retention, logs and records; return how many.

    The record of a build that a kept release was made of stays: it knows the image from before the predeploy task.
    """
    retention = int(ctx.state.properties.merged(app_name).get(RETENTION_PROPERTY) or RETENTION)
    old = [b.id for b in ctx.state.builds.list(app_name)[retention:] if b.status is not BuildStatus.RUNNING]
    if not old:
        return 0
    for build_id in old:  # the record goes last: what is killed between is found again
        ctx.paths.build_log(build_id).unlink(missing_ok=True)
    needed = {release.build_id for release in kept_releases(ctx, app_name)}
    doomed = [build_id for build_id in old if build_id not in needed]
    ctx.state.builds.forget(doomed)
    return len(doomed)
