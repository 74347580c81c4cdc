"""`releases:*`: the ledger of an app."""

from __future__ import annotations

from collections.abc import Mapping

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
@click.argument("version", default="", metavar="[vN]")
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
        "live": _moment(release.live_at), "ended": _moment(release.ended_at),
        "actor": release.actor, "cause": release.cause, "revision": release.revision, "image": release.image,
        "build": str(_build_number(ctx, release) or ""), "config-changed": " ".join(release.diff),
        "config-vars": " ".join(sorted(release.config)),
        "formation": " ".join(f"{name}={count}" for name, count in release.formation.items()),
        "limits": " ".join(sorted(release.properties)),
        **{f"process-{process.name}": process.command or " ".join(process.argv) for process in release.processes},
    }  # fmt: skip
    print_report(ctx.output, f"{app} v{release.version}", report)


@click.command("releases:diff")
@click.argument("app")
@click.argument("first", default="", metavar="[vA]")
@click.argument("second", default="", metavar="[vB]")
@format_option
@click.pass_obj
def diff(ctx: Context, app: str, first: str, second: str, style: str) -> None:
    """Show what differs from vA to vB; values of config vars are never shown.

    By default vB is the current release, and vA the one that served before it.
    """
    new = find_release(ctx, app, second)
    old = find_release(ctx, app, first) if first else _predecessor(ctx, new)
    if style == "json":
        print_json(ctx.output, {"from": old.version if old else None, "to": new.version, **_differences(old, new)})
        return
    for what, lines in _differences(old, new).items():
        for line in lines:
            ctx.output.plain(line if what == "config" else f"{line[:1]}{what}{'.' if line[1:2] != ' ' else ''}{line[1:]}")


def find_release(ctx: Context, app: str, version: str) -> Release:
    """Return release `vN` or `N`; '' means the current one. Raises InvalidInput, NotFound, Conflict."""
    ctx.state.apps.get(app)
    number = parse_version(version)
    return ctx.state.releases.get(app, number) if number is not None else deployed_release(ctx, app)


def _predecessor(ctx: Context, release: Release) -> Release | None:
    """Return the release that served before this one, None for the first."""
    earlier = [r for r in ctx.state.releases.list(release.app) if r.version < release.version and r.status.has_served]
    return max(earlier, key=lambda r: r.live_at, default=None)


def _differences(old: Release | None, new: Release) -> dict[str, list[str]]:
    """Return what changed by kind, as lines with a sign in front: + added, - removed, ~ changed."""
    plain = [(name, getattr(old, name, ""), getattr(new, name)) for name in ("image", "revision")]
    return {
        **{name: [f"~ {one[:12]} -> {other[:12]}"] for name, one, other in plain if one != other},
        "config": list(config_diff(old.config if old else {}, new.config)),
        "process": _shown_diff(_commands(old), _commands(new)),
        "formation": _shown_diff(_counts(old), _counts(new)),
        "limits": list(config_diff(old.properties if old else {}, new.properties)),
    }


def _shown_diff(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the diff of what is no secret, with the values."""
    return [f"{line} {_change(old.get(line[1:]), new.get(line[1:]))}" for line in config_diff(old, new)]


def _change(old: str | None, new: str | None) -> str:
    return f"{old} -> {new}" if old is not None and new is not None else str(old if new is None else new)


def _commands(release: Release | None) -> dict[str, str]:
    return {p.name: p.command or " ".join(p.argv) for p in release.processes} if release else {}


def _counts(release: Release | None) -> dict[str, str]:
    return {name: str(count) for name, count in release.formation.items() if count} if release else {}


def _moment(at: float) -> str:
    return local_time(at) if at else ""


def _described(ctx: Context, release: Release) -> dict[str, object]:
    return {
        "version": release.version, "status": release.status, "created-at": release.created_at,
        "live-at": release.live_at or None, "ended-at": release.ended_at or None, "actor": release.actor,
        "cause": release.cause, "revision": release.revision, "image": release.image,
        "build": _build_number(ctx, release),
        "config-changed": list(release.diff), "config-vars": sorted(release.config), "formation": dict(release.formation),
        "limits": sorted(release.properties),
        "processes": {process.name: process.command or list(process.argv) for process in release.processes},
    }  # fmt: skip


def _build_number(ctx: Context, release: Release) -> int | None:
    """Return what `builds:list` and `builds:output` call it, None when the build is forgotten."""
    return next((build.number for build in ctx.state.builds.list(release.app) if build.id == release.build_id), None)


COMMANDS: tuple[click.Command, ...] = (list_releases, info, diff, set_command("releases"), properties_report("releases"))
