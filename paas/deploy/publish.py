"""Publishing: each new release's image goes to a registry, for apps that want it (`registry:set <app> push-on-release true`)."""

from __future__ import annotations

from collections.abc import Mapping

from paas.context import Context
from paas.deploy.record import mark_failed
from paas.errors import Conflict
from paas.model.app import App
from paas.model.release import Release


def publish(ctx: Context, app: App, release: Release) -> None:
    """Push a pending release's image, tagged with its version; when that fails, so does the release."""
    try:
        reference = published_reference(ctx.state.properties.merged(app.name), app.name, release.version)
        if reference:
            ctx.output.step(f"Pushing {reference}")
            with ctx.output.timed("push the image"):
                ctx.engine.push_image(release.image, reference, app=app.name, on_line=ctx.output.detail)
    except BaseException:
        mark_failed(ctx, release)
        raise


def published_reference(properties: Mapping[str, str], app: str, version: int) -> str:
    """Return what a release's image is called at its registry, '' when it is not pushed. Pure. Raises Conflict."""
    if properties.get("registry.push-on-release") != "true":
        return ""
    server = properties.get("registry.server", "")
    if not server:
        raise Conflict(
            f"Releases of {app} are pushed, but nobody said where to",
            remedy=f"paas registry:set {app} server registry.example.com, or: paas registry:set {app} push-on-release false",
        )
    return f"{server}/{properties.get('registry.image-repo') or f'paas/{app}'}:{version}"
