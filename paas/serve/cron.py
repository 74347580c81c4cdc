"""The timetable: when which scheduled task is due. It claims and watches; the work is deploy.cron.settle, in forks.

Part of the supervisor's loop. It also sees that every one-off container ends in time: the runs of tasks and `run:detached`.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from paas.context import Context
from paas.deploy import cron
from paas.deploy.cron import ActiveTask
from paas.errors import NotFound, PaasError
from paas.host.files import modified_at
from paas.model.container import KIND_CRON, KIND_RUN, LABEL_CRON_RUN, LABEL_DEADLINE, LABEL_KIND, Container
from paas.model.cron import GRACE_S, MOST_MISSED, CronStatus, Due, next_moment, plan_due
from paas.serve.watch import Watch
from paas.serve.workers import Workers

#: Forks at once; a full hour may come for many apps together.
MAX_WORKERS = 4
#: After a failure, e.g. of the database.
RETRY_S = 2.0


@dataclass(eq=False, slots=True)
class Entry:
    """One task: up to when its moments were dealt with, and when it is due next (epoch seconds)."""

    active: ActiveTask
    after: float
    due_at: float


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do in a fork, for a run of a task or, with `run_id` 0, for another one-off."""

    name: str
    work: Callable[[], object]
    run_id: int = 0


class Timetable:
    """All scheduled tasks of an instance."""

    def __init__(self, ctx: Context, selector: selectors.BaseSelector, workers: Workers) -> None:
        self._ctx, self._workers = ctx, workers
        self._watch = Watch(selector, self._note_end)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._deadlines: dict[str, float] = {}  # container id -> epoch seconds
        self._waiting: deque[Job] = deque()
        self._watched: set[int] = set()  # ids of runs
        self._seen_at = self._started = 0.0
        self._mark: tuple[int, ...] = ()
        self._not_before = 0.0

    @property
    def due_at(self) -> float:
        """Return when there is something to do (epoch seconds), infinity if never."""
        if self._waiting and len(self._workers) < MAX_WORKERS:
            return self._not_before
        due = [entry.due_at for entry in self._entries.values()]
        return max(self._not_before, min([*due, *self._deadlines.values()], default=math.inf))

    def refresh(self, containers: Iterable[Container]) -> None:
        """Take over what releases say and what runs: at the start, and every now and then."""
        now, is_first = self._ctx.now(), not self._seen_at
        self._mark = self._ctx.state.db.mark()
        self._read_tasks(now, seen_at=_last_seen(self._ctx) if is_first else 0.0)
        self._seen_at = now
        self._watched, self._deadlines = set(), {}
        self._read_containers(containers)
        self._read_runs(after_crash=is_first)
        self._ctx.paths.cron_seen.touch()

    def glance(self) -> None:
        """Take over what a command may have changed; next to nothing is done if it changed nothing."""
        mark, started = self._ctx.state.db.mark(), modified_at(self._ctx.paths.oneoffs_started)
        if mark != self._mark:
            self._mark = mark
            self._read_tasks(self._ctx.now(), seen_at=0.0)
            self._read_runs()
        if started != self._started:
            self._started = started
            self._read_containers(self._ctx.engine.list({LABEL_KIND: KIND_RUN}))

    def step(self) -> None:
        """Claim what is due, stop what runs too long, and start as many workers as there is room for."""
        now = self._ctx.now()
        self._not_before = now + RETRY_S  # should anything below fail
        self._claim([entry for entry in self._entries.values() if entry.due_at <= now], now)
        for container in [c for c, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[container]
            self._enqueue(Job(f"ttl {container[:12]}", partial(cron.expire, self._ctx, container)))
        while self._waiting and len(self._workers) < MAX_WORKERS:
            job = self._waiting.popleft()
            self._workers.start(job.name, partial(self._guarded, job.work), partial(self._note_done, job))
        self._not_before = 0.0

    # -- what is there

    def _read_tasks(self, now: float, *, seen_at: float) -> None:
        """Read them; one that is new to us is looked after from now on, or from `seen_at` if we have just started."""
        actives = cron.active_tasks(self._ctx)
        is_known = all(active.key in self._entries for active in actives)
        last = {} if is_known else self._ctx.state.cron.last_moments()
        entries = {}
        for active in actives:
            known = self._entries.get(active.key)
            if known is None:
                since = max(seen_at, active.since) if seen_at else now
                known = Entry(active, max(since, _unless_ahead(last.get(active.key, 0.0), now)), 0.0)
            if known.active.zone != active.zone or not _unless_ahead(known.after, now):
                known.after, known.due_at = now, 0.0
            known.active = active
            known.due_at = known.due_at or next_moment(active.task.schedule, active.zone, after=known.after)
            entries[active.key] = known
        self._entries = entries

    def _read_containers(self, containers: Iterable[Container]) -> None:
        """Take over when one-offs must have ended, and see when those end that are runs of tasks."""
        for container in containers:
            if container.labels.get(LABEL_KIND) in (KIND_CRON, KIND_RUN) and container.is_running:
                self._take_over(container)

    def _take_over(self, container: Container) -> None:
        if LABEL_DEADLINE in container.labels:
            self._deadlines[container.id] = float(container.labels[LABEL_DEADLINE])
        if LABEL_CRON_RUN in container.labels:
            self._watched.add(int(container.labels[LABEL_CRON_RUN]))
            self._watch.update([container])

    def _read_runs(self, *, after_crash: bool = False) -> None:
        """See to the runs that nobody watches: queued ones, and those whose containers ended or began unseen."""
        for run in self._ctx.state.cron.open_runs():
            if run.status is CronStatus.QUEUED or run.id not in self._watched:
                self._settle(run.id, after_crash=after_crash and run.status is CronStatus.QUEUED)

    def _follow(self, run_id: int) -> None:
        """Watch the container of a run that was just started; one that has ended already is settled."""
        run = self._ctx.state.cron.run(run_id)
        container = None if run.is_over else cron.container_of(self._ctx, run)
        if container is not None and container.is_running:
            self._take_over(container)
        elif container is not None:
            self._settle(run_id)

    def _note_end(self, container: Container) -> None:
        run_id = int(container.labels[LABEL_CRON_RUN])
        self._deadlines.pop(container.id, None)
        self._watched.discard(run_id)
        self._settle(run_id)

    # -- what is due

    def _claim(self, entries: list[Entry], now: float) -> None:
        """Record what becomes of the moments that have come, all in one transaction, then start the runs."""
        plans = [(e, plan_due(e.active.task.schedule, e.active.zone, after=e.after, now=now)) for e in entries]
        claimed = []
        if plans:
            with self._ctx.state.transaction():
                claimed = [run_id for entry, due in plans if (run_id := self._record(entry.active, due, now))]
        for entry, due in plans:
            entry.after = max(due.run_at, due.missed_at, entry.after)
            entry.due_at = next_moment(entry.active.task.schedule, entry.active.zone, after=max(entry.after, now))
        for run_id in claimed:
            self._settle(run_id)

    def _record(self, active: ActiveTask, due: Due, now: float) -> int:
        """Return the id of a new run, 0 for none. The app may have been destroyed since."""
        if self._ctx.state.apps.find(active.app) is None:
            return 0
        if due.missed:
            count = f"{due.missed} or more" if due.missed >= MOST_MISSED else str(due.missed)
            detail = f"{count} run{'s' if due.missed > 1 else ''} missed: the server did not run"
            self._ctx.state.cron.note_missed(active.app, active.task, due.missed_at, now, detail=detail)
            self._ctx.output.warn(f"{active.app}: {detail} ({active.task.command})")
        return self._ctx.state.cron.claim(active.app, active.task, due.run_at, now, actor="") if due.run_at else 0

    def _settle(self, run_id: int, *, after_crash: bool = False) -> None:
        self._enqueue(Job(f"cron {run_id}", partial(cron.settle, self._ctx, run_id, after_crash=after_crash), run_id))

    def _enqueue(self, job: Job) -> None:
        if job.name not in self._workers and all(job.name != waiting.name for waiting in self._waiting):
            self._waiting.append(job)

    def _note_done(self, job: Job, _code: int) -> None:
        if job.run_id:
            with contextlib.suppress(PaasError):  # the next refresh sees
                self._follow(job.run_id)

    def _guarded(self, work: Callable[[], object]) -> int:
        with contextlib.suppress(NotFound):  # the app went, and its runs with it
            try:
                work()
            except NotFound:
                raise
            except PaasError as exc:
                self._ctx.output.warn(f"cron: {exc.message}")
                return exc.exit_code
        return os.EX_OK


def _last_seen(ctx: Context) -> float:
    """Return when a timetable was last looked after, 0 if never."""
    return modified_at(ctx.paths.cron_seen)


def _unless_ahead(moment: float, now: float) -> float:
    """Return 0 for a moment that is far in the future: the clock was wrong when it was noted. Pure."""
    return moment if moment <= now + GRACE_S else 0.0
