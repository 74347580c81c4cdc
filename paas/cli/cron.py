"""`cron:*`: commands that an app runs by itself, at times that its app.json sets."""

from __future__ import annotations

from collections.abc import Mapping

import click

from paas.cli.common import format_option, print_json
from paas.cli.properties import properties_report, set_command
from paas.cli.readable import local_time, readable_span, table
from paas.context import Context
from paas.deploy import cron
from paas.engines.embedded.logs import follow_log, read_log
from paas.errors import NotFound
from paas.model.appjson import CronTask
from paas.model.container import LABEL_DEADLINE
from paas.model.cron import CronRun, CronStatus, next_moment


@click.command("cron:list")
@click.argument("app")
@format_option
@click.pass_obj
def list_tasks(ctx: Context, app: str, style: str) -> None:
    """List the app's scheduled tasks, when each is due next, and how its last run ended."""
    found = [_described(ctx, app, task) for task in cron.tasks_of(ctx, app)]
    if style == "json":
        print_json(ctx.output, found)
        return
    rows = [
        (str(t["id"]), str(t["schedule"]), "suspended" if t["suspended"] else local_time(float(str(t["next-at"]))),
         str(t["last-status"]), str(t["command"]))
        for t in found
    ]  # fmt: skip
    for line in table(("ID", "SCHEDULE", "NEXT", "LAST", "COMMAND"), rows):
        ctx.output.plain(line)


@click.command("cron:history")
@click.argument("app")
@click.argument("task", default="", metavar="[TASK]")
@click.option("--num", "-n", "count", type=click.IntRange(1, 10_000), default=30, help="how many of the last runs")
@format_option
@click.pass_obj
def history(ctx: Context, app: str, task: str, count: int, style: str) -> None:
    """List what became of the runs of the app's scheduled tasks, or of one, newest first."""
    ctx.state.apps.get(app)
    found = ctx.state.cron.runs(app, _task_id(ctx, app, task))[:count]
    if style == "json":
        print_json(ctx.output, [_run_described(run) for run in found])
        return
    rows = [
        (str(run.id), run.task, local_time(run.moment or run.queued_at), run.status, _took(run),
         "" if run.exit_code is None else str(run.exit_code), run.detail or run.command)
        for run in found
    ]  # fmt: skip
    for line in table(("RUN", "TASK", "DUE", "STATUS", "TOOK", "EXIT", "COMMAND OR REASON"), rows):
        ctx.output.plain(line)


@click.command("cron:run")
@click.argument("app")
@click.argument("task")
@click.option("--detach", is_flag=True, help="do not wait for its end")
@click.pass_obj
def run_task(ctx: Context, app: str, task: str, detach: bool) -> int:
    """Run a scheduled task now; unless detached its output is shown, and its exit code is ours."""
    run = cron.run_now(ctx, app, task)
    if detach:
        ctx.output.plain(str(run.id))
        return int(run.status is CronStatus.FAILED)
    try:
        _follow(ctx, run)
    except KeyboardInterrupt:
        cron.stop_run(ctx, run, CronStatus.STOPPED, f"interrupted by {ctx.identity.name}")
        raise
    run = cron.settle(ctx, run.id)
    if run.detail:
        ctx.output.warn(run.detail)
    return 1 if run.exit_code is None else run.exit_code


@click.command("cron:logs")
@click.argument("app")
@click.argument("run", default="", metavar="[RUN|TASK]")
@click.option("--tail", "-t", "follow", is_flag=True, help="go on until the run has ended")
@click.pass_obj
def logs(ctx: Context, app: str, run: str, follow: bool) -> None:
    """Show what a run wrote: the one named, the task's last, or the app's last."""
    chosen = _find_run(ctx, app, run)
    if follow:
        _follow(ctx, chosen)
        return
    for line in read_log(ctx.paths.cron_log(app, chosen.task, chosen.id)):
        ctx.output.plain(line.text)


@click.command("cron:stop")
@click.argument("app")
@click.argument("run", default="", metavar="[RUN]")
@click.pass_obj
def stop(ctx: Context, app: str, run: str) -> None:
    """Stop a run, or all runs of the app."""
    ctx.state.apps.get(app)
    chosen = (_find_run(ctx, app, run),) if run else ctx.state.cron.open_runs(app)
    open_runs = [one for one in chosen if not one.is_over]
    for one in open_runs:
        ctx.output.step(f"Stopping run {one.id} of {app} ({one.command})")
        cron.stop_run(ctx, one, CronStatus.STOPPED, f"stopped by {ctx.identity.name}")
    if not open_runs:
        ctx.output.detail(f"nothing to do: no such run of {app} is under way")


@click.command("cron:suspend")
@click.argument("app")
@click.argument("task", default="", metavar="[TASK]")
@click.pass_obj
def suspend(ctx: Context, app: str, task: str) -> None:
    """Stop running a scheduled task by itself, or all of the app's, until it is resumed; what runs now goes on."""
    _set_suspended(ctx, app, task, True)


@click.command("cron:resume")
@click.argument("app")
@click.argument("task", default="", metavar="[TASK]")
@click.pass_obj
def resume(ctx: Context, app: str, task: str) -> None:
    """Run a scheduled task by itself again, or all of the app's, from its next moment on."""
    _set_suspended(ctx, app, task, False)


def _set_suspended(ctx: Context, app: str, task: str, is_suspended: bool) -> None:
    verb = "Suspending" if is_suspended else "Resuming"
    changed = cron.set_suspended(ctx, app, task, is_suspended)
    for one in changed:
        ctx.output.step(f"{verb} {one.id} of {app} ({one.command})")
    if not changed:
        ctx.output.detail(f"nothing to do: no such task of {app} is {'active' if is_suspended else 'suspended'}")


def _described(ctx: Context, app: str, task: CronTask) -> Mapping[str, object]:
    runs = ctx.state.cron.runs(app, task.id)
    return {
        "id": task.id, "schedule": task.schedule.text, "command": task.command, "concurrency-policy": task.concurrency,
        "suspended": ctx.state.cron.suspensions().get((app, task.id), task.is_suspended),
        "next-at": next_moment(task.schedule, cron.zone_of(ctx, app), after=ctx.now()),
        "last-status": runs[0].status if runs else "", "last-run": runs[0].id if runs else None,
    }  # fmt: skip


def _run_described(run: CronRun) -> Mapping[str, object]:
    return {
        "run": run.id, "task": run.task, "command": run.command, "status": run.status, "due-at": run.moment or None,
        "actor": run.actor, "release": run.release, "queued-at": run.queued_at, "started-at": run.started_at,
        "finished-at": run.finished_at, "exit-code": run.exit_code, "detail": run.detail,
    }  # fmt: skip


def _took(run: CronRun) -> str:
    return readable_span(run.finished_at - run.started_at) if run.finished_at and run.started_at else ""


def _task_id(ctx: Context, app: str, task: str) -> str:
    """Return the id that the words mean; one of a task that is gone from app.json may still have runs."""
    if not task or any(run.task == task for run in ctx.state.cron.runs(app)):
        return task
    return cron.find_task(ctx, app, task).id


def _find_run(ctx: Context, app: str, wanted: str) -> CronRun:
    """Return the run of that number, the last of that task, or the app's last. Raises NotFound."""
    ctx.state.apps.get(app)
    runs = ctx.state.cron.runs(app)
    found = [run for run in runs if wanted in ("", str(run.id))] or [run for run in runs if run.task.startswith(wanted)]
    if not found:
        raise NotFound(f"{app} has no run {wanted}".rstrip(), remedy=f"see: paas cron:history {app}")
    return found[0]


def _follow(ctx: Context, run: CronRun) -> None:
    """Print what a run wrote and writes until its container has ended."""

    def is_over() -> bool:
        container = cron.container_of(ctx, run)
        if container is not None and container.is_running and ctx.now() >= float(container.labels[LABEL_DEADLINE]):
            cron.expire(ctx, container.id)  # the supervisor may not know of it yet
            return True
        return container is None or not container.is_running

    for line in follow_log(ctx.paths.cron_log(run.app, run.task, run.id), lines=0, is_over=is_over, sleep=ctx.sleep):
        ctx.output.plain(line.text)
        if not ctx.output.has_reader:
            return


COMMANDS: tuple[click.Command, ...] = (
    list_tasks, history, run_task, logs, stop, suspend, resume, set_command("cron"), properties_report("cron"),
)  # fmt: skip
