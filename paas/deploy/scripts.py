"""What an app has run around its releases: predeploy and release before anything switches, postdeploy once the release is live.

A task of the first kind that fails leaves the old release whole. One of the second kind comes too late for that: the new
release serves, so the deploy has worked, and its failure is said aloud and recorded, but takes nothing back.
"""

from __future__ import annotations

from dataclasses import replace

from paas.context import Context
from paas.deploy import tasks
from paas.deploy.record import mark_failed
from paas.errors import PaasError, TaskFailed
from paas.model.app import App
from paas.model.process import RELEASE, ProcessType
from paas.model.release import Release

_NOTHING_SWITCHED = "nothing was switched and nothing was stored; fix the task, then repeat the command"


def before_switch(ctx: Context, app: App, release: Release) -> Release:
    """Run what comes before the switch on a pending release; return it with the image that predeploy left.

    On failure the release is marked failed. Raises TaskFailed.
    """
    try:
        release = _run_predeploy(ctx, app, release)
        _run_release_task(ctx, app, release)
        return release
    except BaseException as exc:
        mark_failed(ctx, release)
        if isinstance(exc, TaskFailed):
            raise TaskFailed(exc.message, remedy=_NOTHING_SWITCHED) from exc
        raise


def after_switch(ctx: Context, app: App, release: Release) -> None:
    """Run what comes after a release went live. Never raises for what a script does.

    Heroku's `postdeploy` runs after the app's first deploy, and again after later ones until it has succeeded once.
    """
    scripts = release.app_json.scripts
    if not ctx.state.apps.has_postdeployed(app.name):
        script = scripts.first_postdeploy
        if not script or _run_postdeploy(ctx, app, release, script):
            ctx.state.apps.note_postdeployed(app.name)
    if scripts.postdeploy:
        _run_postdeploy(ctx, app, release, scripts.postdeploy)


def _run_predeploy(ctx: Context, app: App, release: Release) -> Release:
    """Run it on the image as it was built, so that what an earlier run left does not add up."""
    command = release.app_json.scripts.predeploy
    if not command:
        return release
    ctx.output.step(f"Running predeploy task: {command}")
    images = {build.id: build.image for build in ctx.state.builds.list(app.name)}
    built = replace(release, image=images.get(release.build_id) or release.image)
    with ctx.output.timed("predeploy task"):
        image = tasks.run_task(ctx, app, built, ProcessType(name="predeploy", command=command), is_committed=True)
    return ctx.state.releases.set_image(app.name, release.version, image)


def _run_release_task(ctx: Context, app: App, release: Release) -> None:
    process = release.process(RELEASE)
    if process is not None:
        ctx.output.step(f"Running release task: {process.command or ' '.join(process.argv)}")
        with ctx.output.timed("release task"):
            tasks.run_task(ctx, app, release, process)


def _run_postdeploy(ctx: Context, app: App, release: Release, command: str) -> bool:
    """Say whether it worked."""
    ctx.output.step(f"Running postdeploy task: {command}")
    try:
        with ctx.output.timed("postdeploy task"):
            tasks.run_task(ctx, app, release, ProcessType(name="postdeploy", command=command))
    except (PaasError, KeyboardInterrupt) as exc:
        said = exc.message if isinstance(exc, PaasError) else f"The postdeploy task of {app.name} was interrupted"
        ctx.state.events.record(app.name, ctx.identity.name, "postdeploy failed", f"v{release.version} {said}", ctx.now())
        ctx.output.warn(f"WARNING: {said}")
        ctx.output.warn(f"v{release.version} is live all the same; to run the task again: paas run {app.name} '{command}'")
        return False
    return True
