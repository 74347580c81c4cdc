"""`builds:*`: every build of an app, and what it said."""

from __future__ import annotations

import click

from paas.cli.common import format_option, print_json
from paas.cli.properties import set_command
from paas.cli.readable import local_time, table
from paas.context import Context
from paas.errors import InvalidInput, NotFound
from paas.model.release import Build, BuildStatus


@click.command("builds:list")
@click.argument("app")
@format_option
@click.pass_obj
def list_builds(ctx: Context, app: str, style: str) -> None:
    """List the app's builds, newest first."""
    ctx.state.apps.get(app)
    found = ctx.state.builds.list(app)
    if style == "json":
        print_json(ctx.output, [_described(build) for build in found])
        return
    rows = [
        (str(b.number), b.status, local_time(b.started_at), _took(b), b.actor, b.revision[:8], b.cause) for b in found
    ]
    for line in table(("BUILD", "STATUS", "STARTED", "TOOK", "ACTOR", "REVISION", "CAUSE"), rows):
        ctx.output.plain(line)


@click.command("builds:output")
@click.argument("app")
@click.argument("number", default="", metavar="[BUILD]")
@click.option("--follow", "-f", is_flag=True, help="go on until the build has ended")
@click.pass_obj
def output(ctx: Context, app: str, number: str, follow: bool) -> None:
    """Print a build's log, by default the last build's."""
    build = find_build(ctx, app, number)
    log = ctx.paths.build_log(build.id)
    if not log.exists():
        raise NotFound(f"The log of build {build.number} of {app} is gone", remedy=f"see: paas builds:list {app}")
    with log.open(errors="replace") as stream:
        while True:
            is_over = ctx.state.builds.get(build.id).status is not BuildStatus.RUNNING
            for line in stream:
                ctx.output.plain(line.rstrip("\n"))
            if is_over or not follow or not ctx.output.has_reader:
                return
            ctx.sleep(0.2)


@click.command("builds:info")
@click.argument("app")
@click.argument("number", default="", metavar="[BUILD]")
@click.pass_obj
def info(ctx: Context, app: str, number: str) -> None:
    """Print all about a build as JSON, by default the last."""
    print_json(ctx.output, _described(find_build(ctx, app, number)))


def find_build(ctx: Context, app: str, number: str) -> Build:
    """Return a build of the app by its number; '' or 'current' means the last. Raises InvalidInput, NotFound."""
    ctx.state.apps.get(app)
    if number not in ("", "current") and not number.isdecimal():
        raise InvalidInput(f"'{number}' is no build", remedy=f"see: paas builds:list {app}")
    found = ctx.state.builds.list(app)
    if number.isdecimal():
        found = tuple(build for build in found if build.number == int(number))
    if not found:
        raise NotFound(f"{app} has no build {number}".rstrip(), remedy=f"see: paas builds:list {app}")
    return found[0]


def _described(build: Build) -> dict[str, object]:
    return {
        "number": build.number, "status": build.status, "actor": build.actor, "cause": build.cause, "revision": build.revision,
        "started-at": build.started_at, "finished-at": build.finished_at, "image": build.image, "builder": build.builder,
        "processes": {process.name: process.command or list(process.argv) for process in build.processes},
        "ports": list(build.ports),
    }  # fmt: skip


def _took(build: Build) -> str:
    return f"{build.finished_at - build.started_at:.1f} s" if build.finished_at else ""


COMMANDS: tuple[click.Command, ...] = (list_builds, output, info, set_command("builds"))
