"""Cron: which tasks are active, and a run of one from its claim to its record.

A run is claimed in the ledger before anything is started, so there is never a second one for the same moment. `settle` brings
the record of a run and its container together from whatever state a crash left them in; whoever is told of a change calls it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

from paas.context import Context
from paas.deploy.tasks import named_process, oneoff_spec
from paas.errors import Conflict, NotFound, PaasError
from paas.host.clock import find_zone, machine_zone_name
from paas.host.files import flock
from paas.model.app import App
from paas.model.appjson import CronTask
from paas.model.container import KIND_CRON, LABEL_CRON_RUN, LABEL_RELEASE, Container, ContainerSpec, ContainerStatus
from paas.model.cron import GRACE_S, Concurrency, CronRun, CronStatus
from paas.model.release import Release

DEFAULT_TTL_S = 86400
#: More runs of one task at a time are a sign that they do not end; the machine has other tenants.
MOST_AT_ONCE = 10
#: A log is rotated at this size: what a task wrote last is what one wants to know.
LOG_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveTask:
    """A task that is to run by itself, in which time zone, and since when its app may have it."""

    app: str
    task: CronTask
    zone: tzinfo
    since: float

    @property
    def key(self) -> tuple[str, str]:
        return self.app, self.task.id


def active_tasks(ctx: Context) -> tuple[ActiveTask, ...]:
    """Return the tasks of all current releases that are not suspended."""
    suspended, zones = ctx.state.cron.suspensions(), _Zones(ctx)
    return tuple(
        ActiveTask(app=app, task=task, zone=zones.of(app), since=since)
        for app, app_json, since in ctx.state.cron.scheduled()
        for task in app_json.cron
        if not suspended.get((app, task.id), task.is_suspended)
    )


def zone_of(ctx: Context, app: str) -> tzinfo:
    """Return the time zone of the app's schedules."""
    return _Zones(ctx).of(app)


class _Zones:
    """The time zones of all apps, from three queries for all of them."""

    def __init__(self, ctx: Context) -> None:
        self._own = ctx.state.properties.of_key("cron", "timezone")
        self._machine = machine_zone_name()

    def of(self, app: str) -> tzinfo:
        return find_zone(self._own.get(app) or self._own.get("") or self._machine) or UTC


def find_task(ctx: Context, app_name: str, task_id: str) -> CronTask:
    """Return a task of the app's current release by its id or a unique beginning of it. Raises NotFound."""
    found = [task for task in tasks_of(ctx, app_name) if task.id.startswith(task_id)]
    if len(found) != 1 or not task_id:
        known = ", ".join(task.id for task in tasks_of(ctx, app_name)) or "none; tasks are in app.json"
        raise NotFound(f"{app_name} has no scheduled task '{task_id}'", remedy=f"it has: {known}")
    return found[0]


def tasks_of(ctx: Context, app_name: str) -> tuple[CronTask, ...]:
    """Return the tasks of the app's current release. Raises NotFound for an unknown app."""
    ctx.state.apps.get(app_name)
    release = ctx.state.releases.current(app_name)
    return release.app_json.cron if release is not None else ()


def set_suspended(ctx: Context, app_name: str, task_id: str, is_suspended: bool) -> tuple[CronTask, ...]:
    """Suspend or resume a task, or all of the app's; what runs goes on. Returns those that changed."""
    chosen = (find_task(ctx, app_name, task_id),) if task_id else tasks_of(ctx, app_name)
    with ctx.state.transaction():
        present = ctx.state.cron.suspensions()
        changed = [task for task in chosen if present.get((app_name, task.id), task.is_suspended) is not is_suspended]
        for task in changed:
            ctx.state.cron.set_suspended(app_name, task.id, is_suspended)
        if changed:
            verb = "cron:suspend" if is_suspended else "cron:resume"
            ctx.state.events.record(app_name, ctx.identity.name, verb, " ".join(t.id for t in changed), ctx.now())
    return tuple(changed)


def run_now(ctx: Context, app_name: str, task_id: str) -> CronRun:
    """Run a task for somebody who asked, whatever its schedule. Raises NotFound, Conflict when it may not run now."""
    task = find_task(ctx, app_name, task_id)
    run = settle(ctx, ctx.state.cron.claim(app_name, task, 0.0, ctx.now(), actor=ctx.identity.name))
    if run.status is CronStatus.SKIPPED:
        raise Conflict(f"{task.id} of {app_name} was not run: {run.detail}", remedy=f"see: paas cron:history {app_name}")
    return run


def stop_run(ctx: Context, run: CronRun, status: CronStatus, detail: str) -> CronRun:
    """Stop a run and record it under this status."""
    ctx.state.cron.end_early(run.id, status, detail)
    container = container_of(ctx, run)
    if container is not None:
        with contextlib.suppress(NotFound):  # it has just ended
            ctx.engine.stop(container.id)
    return settle(ctx, run.id)


def expire(ctx: Context, container_id: str) -> None:
    """Stop a one-off whose time is over: a run of a task, or a detached command. Raises NotFound when it has gone."""
    container = ctx.engine.inspect(container_id)
    run_id = container.labels.get(LABEL_CRON_RUN)
    if run_id is None:
        ctx.engine.stop(container.id)
    else:
        stop_run(ctx, ctx.state.cron.run(int(run_id)), CronStatus.TIMED_OUT, "it ran longer than it may (ttl-seconds)")


def settle(ctx: Context, run_id: int, *, after_crash: bool = False) -> CronRun:
    """Start a run that is queued, record one that has ended and remove its container. Anybody may call it, at any time."""
    run = ctx.state.cron.run(run_id)
    with flock(ctx.paths.cron_lock(run.app, run.task), what=f"cron run {run_id}"):
        run = ctx.state.cron.run(run_id)
        if run.is_over:
            return run
        container = container_of(ctx, run)
        if run.status is CronStatus.QUEUED and (container is None or container.status is ContainerStatus.CREATED):
            if container is not None:
                ctx.engine.remove(container.id)  # its starter died
            if after_crash:
                ctx.engine.repair()  # or in the middle of making one
            _begin(ctx, run)
        elif run.status is CronStatus.QUEUED and container is not None:
            ctx.state.cron.start(run.id, int(container.labels.get(LABEL_RELEASE, "0")), container.started_at)
            _collect(ctx, ctx.state.cron.run(run.id), container)
        else:
            _collect(ctx, run, container)
        return ctx.state.cron.run(run_id)


def container_of(ctx: Context, run: CronRun) -> Container | None:
    """Return the container of a run, None if there is none."""
    try:
        return ctx.engine.inspect(container_name(run))
    except NotFound:
        return None


def container_name(run: CronRun) -> str:
    """Return the name of a run's container: looking it up costs the same however many containers there are. Pure."""
    return f"{run.app}.cron.{run.id}"


def prune(ctx: Context) -> None:
    """Forget old runs with their output."""
    for run in ctx.state.cron.prune(keep=ctx.settings.cron_keep, ended_before=ctx.now() - 3600):
        log = ctx.paths.cron_log(run.app, run.task, run.id)
        for file in log.parent.glob(f"{log.name}*"):
            file.unlink(missing_ok=True)


def _begin(ctx: Context, run: CronRun) -> None:
    """Start a queued run, unless something speaks against it; then that is its record. The task's lock is held."""
    release = ctx.state.releases.current(run.app)
    task = next((one for one in release.app_json.cron if one.id == run.task), None) if release is not None else None
    if release is None or task is None:
        ctx.state.cron.finish(run.id, CronStatus.SKIPPED, ctx.now(), detail="the task is gone")
    elif ctx.now() - run.queued_at > GRACE_S:
        ctx.state.cron.finish(run.id, CronStatus.MISSED, ctx.now(), detail="it could not begin in time")
    elif reason := _make_room(ctx, run, task.concurrency):
        ctx.state.cron.finish(run.id, CronStatus.SKIPPED, ctx.now(), detail=reason)
    else:
        _start(ctx, run, release)


def _start(ctx: Context, run: CronRun, release: Release) -> None:
    try:
        container = ctx.engine.create(_spec(ctx, ctx.state.apps.get(run.app), release, run))
        try:
            ctx.engine.start(container.id)
        except BaseException:
            ctx.engine.remove(container.id, is_forced=True)
            raise
    except PaasError as exc:
        ctx.state.cron.finish(run.id, CronStatus.FAILED, ctx.now(), detail=exc.message)
    except KeyboardInterrupt:
        ctx.state.cron.finish(run.id, CronStatus.STOPPED, ctx.now(), detail="interrupted before it began")
        raise
    else:
        ctx.state.cron.start(run.id, release.version, ctx.now())


def _make_room(ctx: Context, run: CronRun, policy: Concurrency) -> str:
    """Return why a run may not begin beside those that run, '' if it may; with `replace` they are stopped."""
    others = list(_running(ctx, run))
    if policy is Concurrency.FORBID and others:
        return f"run {others[0].id} was still running"
    if policy is Concurrency.REPLACE:
        for other in others:
            ctx.state.cron.end_early(other.id, CronStatus.REPLACED, f"run {run.id} took its place")
            container = container_of(ctx, other)
            if container is not None:
                ctx.engine.stop(container.id)
            _collect(ctx, ctx.state.cron.run(other.id), container_of(ctx, other))
    if policy is Concurrency.ALLOW and len(others) >= MOST_AT_ONCE:
        return f"{len(others)} runs were still running"
    return ""


def _running(ctx: Context, run: CronRun) -> Iterator[CronRun]:
    for other in ctx.state.cron.open_runs(run.app):
        if other.task == run.task and other.status is not CronStatus.QUEUED and other.id != run.id:
            container = container_of(ctx, other)
            if container is not None and container.is_running:
                yield other


def _collect(ctx: Context, run: CronRun, container: Container | None) -> None:
    """Record a run whose container has ended, and remove that. The task's lock is held."""
    if container is not None and container.is_running:
        return
    code = container.exit_code if container is not None else None
    is_oom_killed = container is not None and container.is_oom_killed
    detail = run.detail or ("it ran out of memory" if is_oom_killed else "" if container else "its container was removed")
    ended_at = (container.finished_at if container is not None else 0.0) or ctx.now()
    ctx.state.cron.finish(run.id, _final_status(run.status, container), ended_at, exit_code=code, detail=detail)
    if container is not None:
        with contextlib.suppress(NotFound):  # the app is being destroyed
            ctx.engine.remove(container.id)


def _final_status(present: CronStatus, container: Container | None) -> CronStatus:
    """Return what a run is called that has ended: what was said when it was stopped early, or how it ended by itself. Pure."""
    if present is not CronStatus.RUNNING:
        return present
    if container is None:
        return CronStatus.LOST
    return CronStatus.SUCCEEDED if container.exit_code == 0 else CronStatus.FAILED


def _spec(ctx: Context, app: App, release: Release, run: CronRun) -> ContainerSpec:
    properties = ctx.state.properties.merged(app.name)
    ttl_s = int(properties.get("cron.ttl-seconds") or DEFAULT_TTL_S)
    process = named_process(release, (run.command,))
    spec = oneoff_spec(ctx, app, release, process, kind=KIND_CRON, hostname=f"cron.{run.id}", ttl_s=ttl_s)
    return replace(
        spec,
        name=container_name(run),
        labels={**spec.labels, LABEL_CRON_RUN: str(run.id)},
        keeps_stdin=False,
        log_path=ctx.paths.cron_log(app.name, run.task, run.id),
        log_max_bytes=LOG_MAX_BYTES,
    )
