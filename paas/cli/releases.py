"""`releases:*`: the ledger of an app."""

from __future__ import annotations

import click

from paas.cli.common import format_option, print_json, print_report
from paas.cli.properties import properties_report, set_command
from paas.cli.readable import local_time, table
from paas.context import Context
from paas.deploy.intent import deployed_release
from paas.model.release import Release, config_diff, parse_version


@click.command("releases:list")
@click.argument("app")
@format_option
@click.pass_obj
def list_releases(ctx: Context, app: str, style: str) -> None:
    """List the app's releases, newest first."""
    ctx.state.apps.get(app)
    found = ctx.state.releases.list(app)
    if style == "json":
        print_json(ctx.output, [_described(ctx, release) for release in found])
        return
    rows = [(f"v{r.version}", r.status, local_time(r.created_at), r.actor, r.revision[:8], r.cause) for r in found]
    for line in table(("VERSION", "STATUS", "CREATED", "ACTOR", "REVISION", "CAUSE"), rows):
        ctx.output.plain(line)


@click.command("releases:info")
@click.argument("app")
@click.argument("version", default="")
@format_option
@click.pass_obj
def info(ctx: Context, app: str, version: str, style: str) -> None:
    """Show one release, by default the current one."""
    release = find_release(ctx, app, version)
    if style == "json":
        print_json(ctx.output, _described(ctx, release))
        return
    report = {
        "version": f"v{release.version}", "status": release.status, "created": local_time(release.created_at),
        "actor": release.actor, "cause": release.cause, "revision": release.revision, "image": release.image,
        "build": str(_build_number(ctx, release) or ""), "config-vars": " ".join(sorted(release.config)),
        "formation": " ".join(f"{name}={count}" for name, count in release.formation.items()),
        **{f"process-{process.name}": process.command or " ".join(process.argv) for process in release.processes},
    }  # fmt: skip
    print_report(ctx.output, f"{app} v{release.version}", report)


@click.command("releases:diff")
@click.argument("app")
@click.argument("first", metavar="vN")
@click.argument("second", default="", metavar="[vM]")
@click.pass_obj
def diff(ctx: Context, app: str, first: str, second: str) -> None:
    """Show what differs between two releases; values of config vars are never shown."""
    old, new = find_release(ctx, app, first), find_release(ctx, app, second)
    for name, one, other in (("image", old.image, new.image), ("revision", old.revision, new.revision)):
        if one != other:
            ctx.output.plain(f"~{name} {one[:12]} -> {other[:12]}")
    for line in config_diff(old.config, new.config):
        ctx.output.plain(line)


def find_release(ctx: Context, app: str, version: str) -> Release:
    """Return release `vN` or `N`; '' means the current one. Raises InvalidInput, NotFound, Conflict."""
    ctx.state.apps.get(app)
    number = parse_version(version)
    return ctx.state.releases.get(app, number) if number is not None else deployed_release(ctx, app)


def _described(ctx: Context, release: Release) -> dict[str, object]:
    return {
        "version": release.version, "status": release.status, "created-at": release.created_at, "actor": release.actor,
        "cause": release.cause, "revision": release.revision, "image": release.image,
        "build": _build_number(ctx, release),
        "config-vars": sorted(release.config), "formation": dict(release.formation),
        "processes": {process.name: process.command or list(process.argv) for process in release.processes},
    }  # fmt: skip


def _build_number(ctx: Context, release: Release) -> int | None:
    """Return what `builds:list` and `builds:output` call it, None when the build is forgotten."""
    return next((build.number for build in ctx.state.builds.list(release.app) if build.id == release.build_id), None)


COMMANDS: tuple[click.Command, ...] = (list_releases, info, diff, set_command("releases"), properties_report("releases"))
