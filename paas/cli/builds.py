"""`builds:*`: every deploy of an app, what it said, and how to end one."""

from __future__ import annotations

import time

import click

from paas.cli.common import format_option, print_json, print_report, report_command
from paas.cli.properties import report_of, set_command
from paas.cli.readable import local_time, table
from paas.context import Context
from paas.deploy import cancel, pushes, retention
from paas.errors import InvalidInput, NotFound, UsageError
from paas.model.release import Build, BuildKind, BuildStatus

#: How often a log that is followed is looked at.
_LOOK_S = 0.2


@click.command("builds:list")
@click.argument("app", default="")
@click.option("--kind", type=click.Choice([str(kind) for kind in BuildKind]), help="only these")
@click.option("--status", type=click.Choice([str(status) for status in BuildStatus]), help="only these")
@format_option
@click.pass_obj
def list_builds(ctx: Context, app: str, kind: str, status: str, style: str) -> None:
    """List the app's deploys, newest first; without an app, those of all apps that are under way."""
    if app:
        ctx.state.apps.get(app)
    found = [
        build for build in (ctx.state.builds.list(app) if app else ctx.state.builds.running())
        if kind in (None, build.kind) and status in (None, cancel.shown_status(ctx, build))
    ]  # fmt: skip
    if style == "json":
        print_json(ctx.output, [_described(ctx, build) for build in found])
        return
    rows = [
        (
            *(() if app else (b.app,)), str(b.number), b.kind, cancel.shown_status(ctx, b), local_time(b.started_at), _took(b),
            f"v{b.release}" if b.release else "", b.actor, b.revision[:8], b.cause,
        )
        for b in found
    ]  # fmt: skip
    header = ("BUILD", "KIND", "STATUS", "STARTED", "TOOK", "RELEASE", "ACTOR", "REVISION", "CAUSE")
    for line in table(header if app else ("APP", *header), rows):
        ctx.output.plain(line)


@click.command("builds:output")
@click.argument("app")
@click.argument("number", default="", metavar="[BUILD]")
@click.option("--follow", "-f", is_flag=True, help="go on until the deploy has ended")
@click.pass_obj
def output(ctx: Context, app: str, number: str, follow: bool) -> None:
    """Print a deploy's log, by default the last one's."""
    build = find_build(ctx, app, number)
    log = ctx.paths.build_log(build.id)
    if not log.exists():
        raise NotFound(f"The log of build {build.number} of {app} is gone", remedy=f"see: paas builds:list {app}")
    with log.open(errors="replace", newline="\n") as stream:
        while True:
            is_over = cancel.shown_status(ctx, ctx.state.builds.get(build.id)) is not BuildStatus.RUNNING
            for line in stream:
                ctx.output.plain(line.rstrip("\n"))
            if is_over or not follow or not ctx.output.has_reader:
                return
            ctx.sleep(_LOOK_S)


@click.command("builds:info")
@click.argument("app")
@click.argument("number", default="", metavar="[BUILD]")
@format_option
@click.pass_obj
def info(ctx: Context, app: str, number: str, style: str) -> None:
    """Show all about a deploy, by default the last."""
    build = find_build(ctx, app, number)
    if style == "json":
        print_json(ctx.output, _described(ctx, build))
        return
    print_report(ctx.output, f"{app} build {build.number}", _reported(ctx, build))


@click.command("builds:cancel")
@click.argument("app")
@click.pass_obj
def cancel_build(ctx: Context, app: str) -> None:
    """End the deploy that is under way; what served before serves on."""
    ended = cancel.cancel_deploy(ctx, app)
    ctx.output.step(f"Build {ended.number} of {app} is {ended.status}")


@click.command("builds:prune")
@click.argument("app", default="")
@click.option("--all-apps", is_flag=True, help="of every app")
@click.pass_obj
def prune(ctx: Context, app: str, all_apps: bool) -> None:
    """Forget the oldest deploys beyond what builds:set retention says, with their logs."""
    if bool(app) == all_apps:
        raise UsageError("Name an app, or give --all-apps", remedy="e.g. paas builds:prune shop")
    names = [one.name for one in ctx.state.apps.list()] if all_apps else [ctx.state.apps.get(app).name]
    for name in names:
        count = retention.prune_deploys(ctx, name)
        ctx.output.step(f"Forgot {count} of the deploys of {name}" if count else f"Nothing to forget of {name}")


def find_build(ctx: Context, app: str, number: str) -> Build:
    """Return a build of the app by its number; '' or 'current' means the last. Raises InvalidInput, NotFound."""
    ctx.state.apps.get(app)
    if number not in ("", "current") and not (number.isdecimal() and number.isascii()):
        raise InvalidInput(f"'{number}' is no build", remedy=f"see: paas builds:list {app}")
    found = ctx.state.builds.list(app)
    if number.isdecimal():
        found = tuple(build for build in found if build.number == int(number[:18]))
    if not found:
        raise NotFound(f"{app} has no build {number}".rstrip(), remedy=f"see: paas builds:list {app}")
    return found[0]


def _described(ctx: Context, build: Build) -> dict[str, object]:
    return {
        "app": build.app, "number": build.number, "kind": build.kind, "status": cancel.shown_status(ctx, build),
        "actor": build.actor, "cause": build.cause, "revision": build.revision, "release": build.release or None,
        "canceled-by": build.canceled_by, "pid": build.pid or None,
        "started-at": build.started_at, "finished-at": build.finished_at or None, "image": build.image, "builder": build.builder,
        "processes": {process.name: process.command or list(process.argv) for process in build.processes},
        "ports": list(build.ports), "log": str(ctx.paths.build_log(build.id)),
    }  # fmt: skip


def _reported(ctx: Context, build: Build) -> dict[str, str]:
    return {
        "build-number": str(build.number), "build-kind": build.kind, "build-status": cancel.shown_status(ctx, build),
        "build-source": build.cause, "build-actor": build.actor, "build-revision": build.revision,
        "build-release": f"v{build.release}" if build.release else "", "build-canceled-by": build.canceled_by,
        "build-pid": str(build.pid or ""), "build-started-at": _at(build.started_at),
        "build-finished-at": _at(build.finished_at), "build-took": _took(build), "build-builder": build.builder,
        "build-image": build.image,
    }  # fmt: skip


def _report(ctx: Context, app: str) -> dict[str, str]:
    last = next(iter(ctx.state.builds.list(app)), None)
    return {
        **(_reported(ctx, last) if last else {}),
        "builds-waiting": str(len(pushes.waiting(ctx, app))),
        **report_of(ctx, "builds", app),
    }


def _at(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(at)) if at else ""


def _took(build: Build) -> str:
    return f"{build.finished_at - build.started_at:.1f} s" if build.finished_at else ""


COMMANDS: tuple[click.Command, ...] = (
    list_builds, output, info, cancel_build, prune, set_command("builds"),
    report_command("builds", "Show the last deploy of an app, or of all, and the builds properties.", _report),
)  # fmt: skip
