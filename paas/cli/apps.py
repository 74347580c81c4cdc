"""`apps:*`: create, destroy, list, exists, rename, report, lock, unlock, locked."""

from __future__ import annotations

import time

import click

from paas.cli.common import confirm, force_option, format_option, print_json, report_command
from paas.context import Context
from paas.deploy import apps
from paas.deploy.routing import app_urls


@click.command("apps:create")
@click.argument("app")
@click.pass_obj
def create(ctx: Context, app: str) -> None:
    """Create an app; a first push does it, too."""
    ctx.output.step(f"Creating {app}...")
    apps.create(ctx, app)


@click.command("apps:destroy")
@click.argument("app")
@force_option
@click.pass_obj
def destroy(ctx: Context, app: str, force: bool) -> None:
    """Remove an app with its containers, releases, logs and repository."""
    ctx.state.apps.get(app)
    confirm(app, f"This command will destroy {app} (including all its releases and logs).", force=force)
    ctx.output.step(f"Destroying {app}")
    apps.destroy(ctx, app)


@click.command("apps:list")
@format_option
@click.pass_obj
def list_apps(ctx: Context, style: str) -> None:
    """List all apps."""
    found = ctx.state.apps.list()
    if style == "json":
        print_json(ctx.output, [{"name": app.name, "created-at": app.created_at, "locked": app.is_locked} for app in found])
        return
    ctx.output.milestone("My Apps")
    for app in found:
        ctx.output.plain(app.name)


@click.command("apps:exists")
@click.argument("app")
@click.pass_obj
def exists(ctx: Context, app: str) -> None:
    """Exit with 0 if the app exists."""
    ctx.state.apps.get(app)


@click.command("apps:rename")
@click.argument("app")
@click.argument("new_name")
@click.pass_obj
def rename(ctx: Context, app: str, new_name: str) -> None:
    """Give an app another name; it serves on."""
    ctx.output.step(f"Renaming {app} to {new_name}")
    apps.rename(ctx, app, new_name)


def _report(ctx: Context, name: str) -> dict[str, str]:
    app = ctx.state.apps.get(name)
    release = ctx.state.releases.current(app.name)
    return {
        "app-created-at": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(app.created_at)),
        "app-deployed": str(release is not None).lower(),
        "app-locked": str(app.is_locked).lower(),
        "app-stopped": str(app.is_stopped).lower(),
        "app-number": str(app.number),
        "app-release": f"v{release.version}" if release else "",
        "app-revision": release.revision if release else "",
        "app-urls": " ".join(app_urls(ctx, app.name)) if release else "",
    }


@click.command("apps:lock")
@click.argument("app")
@click.pass_obj
def lock(ctx: Context, app: str) -> None:
    """Refuse deploys of the app until it is unlocked."""
    apps.set_locked(ctx, app, True)
    ctx.output.step(f"Deploys of {app} are locked")


@click.command("apps:unlock")
@click.argument("app")
@click.pass_obj
def unlock(ctx: Context, app: str) -> None:
    """Accept deploys of the app again."""
    apps.set_locked(ctx, app, False)
    ctx.output.step(f"Deploys of {app} are unlocked")


@click.command("apps:locked")
@click.argument("app")
@format_option
@click.pass_obj
def locked(ctx: Context, app: str, style: str) -> int:
    """Exit with 0 if deploys of the app are locked."""
    is_locked = ctx.state.apps.get(app).is_locked
    if style == "json":
        print_json(ctx.output, {"locked": is_locked})
    else:
        ctx.output.step(f"Deploys of {app} are {'' if is_locked else 'not '}locked")
    return 0 if is_locked else 1


COMMANDS: tuple[click.Command, ...] = (
    create, destroy, list_apps, exists, rename, lock, unlock, locked,
    report_command("apps", "Show what is known about an app, or about all.", _report, what="app"),
)  # fmt: skip
