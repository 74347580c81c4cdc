"""`ps:*`: scale, restart, stop, start, restore, rebuild, rollback, report, inspect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import click

from paas.cli.allapps import all_option, at_most, over_apps, parallel_option
from paas.cli.common import disconnect_option, format_option, print_json, report_command
from paas.cli.properties import report_of, set_command
from paas.cli.readable import table
from paas.context import Context
from paas.deploy import processes, receive, rollback
from paas.deploy.intent import current_deployment, formation_of
from paas.model.container import KIND_PROCESS, LABEL_APP, LABEL_INDEX, LABEL_KIND, LABEL_RELEASE, LABEL_TYPE, Container
from paas.model.process import parse_scales
from paas.model.release import parse_version


@click.command("ps:scale")
@click.argument("app")
@click.argument("scales", nargs=-1, metavar="TYPE=COUNT...")
@format_option
@click.pass_obj
def scale(ctx: Context, app: str, scales: tuple[str, ...], style: str) -> None:
    """Run so many processes of each type; without a count, show the formation."""
    ctx.state.apps.get(app)
    if scales:
        processes.scale(ctx, app, parse_scales(scales))
        return
    release = ctx.state.releases.current(app)
    scaled = ctx.state.apps.formation(app)
    formation = formation_of(release, scaled) if release else scaled
    if style == "json":
        print_json(ctx.output, formation)
        return
    ctx.output.step(f"Scaling for {app}")
    for line in table(("proctype:", "qty:"), [(f"{name}:", str(count)) for name, count in formation.items()]):
        ctx.output.detail(line)


@click.command("ps:restart")
@click.argument("app", default="")
@click.argument("targets", nargs=-1, metavar="[TYPE|TYPE.N]...")
@all_option
@parallel_option
@click.pass_obj
def restart(ctx: Context, app: str, targets: tuple[str, ...], is_all: bool, parallel: int) -> None:
    """Replace the running processes by new ones, without a pause."""
    at_once = 0 if is_all else at_most(parallel)
    work = partial(processes.restart, targets=targets, at_once=at_once)
    over_apps(ctx, app, is_all, parallel, _if_deployed(is_all, work))


@click.command("ps:stop")
@click.argument("app", default="")
@all_option
@parallel_option
@click.pass_obj
def stop(ctx: Context, app: str, is_all: bool, parallel: int) -> None:
    """Stop all processes of the app until ps:start."""
    over_apps(ctx, app, is_all, parallel, _if_deployed(is_all, processes.stop))


@click.command("ps:start")
@click.argument("app", default="")
@all_option
@parallel_option
@click.pass_obj
def start(ctx: Context, app: str, is_all: bool, parallel: int) -> None:
    """Start a stopped app."""
    at_once = 0 if is_all else at_most(parallel)
    over_apps(ctx, app, is_all, parallel, _if_deployed(is_all, partial(processes.start_app, at_once=at_once)))


@click.command("ps:restore")
@click.argument("app", default="")
@all_option
@parallel_option
@click.pass_obj
def restore(ctx: Context, app: str, is_all: bool, parallel: int) -> None:
    """Start what should run and does not: of one app, or of all; stopped apps stay stopped."""
    over_apps(ctx, app, is_all or not app, parallel, processes.restore)


@click.command("ps:rebuild")
@click.argument("app", default="")
@all_option
@parallel_option
@disconnect_option
@click.pass_obj
def rebuild(ctx: Context, app: str, is_all: bool, parallel: int) -> None:
    """Build and deploy the deployed revision again."""
    over_apps(ctx, app, is_all, parallel, _if_deployed(is_all, receive.rebuild))


def _if_deployed(is_all: bool, work: Callable[[Context, str], object]) -> Callable[[Context, str], object]:
    """Return the work; of all apps, only those with a release have any."""

    def guarded(ctx: Context, app: str) -> None:
        if not is_all or ctx.state.releases.current(app) is not None:
            work(ctx, app)

    return guarded


@click.command("ps:rollback")
@click.argument("app")
@click.argument("version", default="", metavar="[vN]")
@disconnect_option
@click.pass_obj
def roll_back(ctx: Context, app: str, version: str) -> None:
    """Go back to an earlier release's code and config, by default the one before."""
    number = parse_version(version)
    ctx.state.apps.get(app)
    rollback.roll_back(ctx, app, number)


def _report(ctx: Context, app: str) -> dict[str, str]:
    containers = _containers(ctx, app)
    release = ctx.state.releases.current(app)
    return {
        "deployed": str(release is not None).lower(),
        "running": _running(ctx, app),
        "release": f"v{release.version}" if release else "",
        "can-scale": str(not (release and release.app_json.quantities)).lower(),
        **report_of(ctx, "ps", app),
        **{
            f"status-{c.labels[LABEL_TYPE]}-{c.labels[LABEL_INDEX]}-v{c.labels[LABEL_RELEASE]}": f"{c.status} (CID: {c.id[:12]})"
            for c in containers
        },
    }


def _running(ctx: Context, app: str) -> str:
    """Return true, false, or mixed: whether what should run does."""
    deployment = current_deployment(ctx, ctx.state.apps.get(app))
    wanted = len(deployment.wanted()) if deployment is not None else 0
    running = len(ctx.scheduler.serving(deployment)) if deployment is not None and wanted else 0
    return "mixed" if 0 < running < wanted else str(running > 0).lower()


@click.command("ps:inspect")
@click.argument("app")
@click.pass_obj
def inspect(ctx: Context, app: str) -> None:
    """Print all about the app's containers as JSON."""
    ctx.state.apps.get(app)
    print_json(ctx.output, [dataclasses.asdict(container) for container in _containers(ctx, app)])


def _containers(ctx: Context, app: str) -> tuple[Container, ...]:
    found = ctx.engine.list({LABEL_APP: app, LABEL_KIND: KIND_PROCESS})
    return tuple(sorted(found, key=lambda c: (c.labels[LABEL_TYPE] != "web", c.labels[LABEL_TYPE], int(c.labels[LABEL_INDEX]))))


COMMANDS: tuple[click.Command, ...] = (
    scale, restart, stop, start, restore, rebuild, roll_back, inspect, set_command("ps"),
    report_command("ps", "Show the app's processes and their state, or those of all apps.", _report),
)  # fmt: skip
