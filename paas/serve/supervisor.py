"""The supervisor: sees that what runs is what should run. It notices and decides; the work is deploy.rollout.reconcile.

Looks at an app when one of its containers ends, when a command may have changed it, and every now and then. Work that takes
time is done in a fork, one for each app, so that no app waits for another and no exception of one reaches another.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from paas.context import Context, Identity
from paas.deploy import cron, gc, ledger, rollout, tasks
from paas.deploy.intent import current_deployment
from paas.deploy.retire import Retirement
from paas.errors import Conflict, PaasError
from paas.host.files import lock_holder, modified_at
from paas.model.container import KIND_PROCESS, LABEL_APP, LABEL_KIND, Container
from paas.model.process import ProcessId
from paas.model.restart import RestartPolicy, parse_restart_policy
from paas.output import Output
from paas.schedulers import Deployment
from paas.serve.checks import CheckedApps
from paas.serve.cron import Timetable
from paas.serve.lives import Lives
from paas.serve.logfiles import prune_logs
from paas.serve.logwatch import LogWatch
from paas.serve.restarts import DEFAULT_POLICY
from paas.serve.stop import StopSignal
from paas.serve.tending import Tending
from paas.serve.watch import Watch
from paas.serve.workers import Workers

#: Every app is looked at so often even when nothing is heard of it.
RESCAN_S = 20.0
#: Commands come in bursts; look once after the burst.
SETTLE_S = 0.05
#: Between two looks at containers on their way out.
RETIRE_S = 0.15
#: When a command holds the app's turn.
RETRY_S = 0.5
#: Logs are looked after, leftovers of killed commands removed and images collected so often, the last for the first time so long
#: after the start.
LOGS_S, REPAIR_S, IMAGES_S, FIRST_CHORE_S = 60.0, 30.0, 86400.0, 300.0
#: Workers at once; their probes mostly wait.
MAX_WORKERS = 8
_POLICY = "ps.restart-policy"


@dataclass(eq=False, slots=True, kw_only=True)
class Watched:
    """One app: when to look at it (monotonic), whether its routes may be wrong, what its processes have been through."""

    name: str
    look_at: float = 0.0
    needs_routes: bool = True
    lives: Lives = field(default_factory=Lives)


@dataclass(eq=False, slots=True, kw_only=True)
class Chore:
    """Something done now and then in a worker. No app can have its name: it begins with `_`."""

    name: str
    work: Callable[[], object]
    every_s: float
    due_at: float


class Supervisor:
    """Watch all apps of an instance until told to stop. `poked` becomes readable when a command may have changed one."""

    def __init__(self, ctx: Context, poked: socket.socket) -> None:
        log = Output(sys.stderr, sys.stderr)
        self._ctx = replace(ctx, identity=Identity(name="supervisor", is_admin=True), output=log)
        self._poked = poked
        self._selector = selectors.DefaultSelector()
        self._watch = Watch(self._selector, self._note_end)
        self._logs = LogWatch(self._selector, self._ctx.engine)
        self._workers = Workers(self._selector, before_fork=self._ctx.state.db.close)
        # Workers of their own: checks that hang must not keep apps from being looked after.
        tending = Workers(self._selector, before_fork=self._ctx.state.db.close)
        self._tending = Tending(self._ctx.engine, tending, self._watch.update, self._ctx.now)
        checking = Workers(self._selector, before_fork=self._ctx.state.db.close)
        self._checked = CheckedApps(self._selector, checking, ctx=self._ctx, on_replaced=self._look_soon)
        self._retirement = Retirement()
        cron_workers = Workers(self._selector, before_fork=self._ctx.state.db.close)
        self._timetable = Timetable(self._ctx, self._selector, cron_workers)
        self._retire_at, self._glance_at, self._rescan_at = math.inf, math.inf, 0.0
        self._containers_changed_at = 0.0
        self._apps: dict[str, Watched] = {}
        first = time.monotonic() + FIRST_CHORE_S
        self._chores = (
            Chore(name="_logs", work=self._keep_logs, every_s=LOGS_S, due_at=time.monotonic() + LOGS_S),
            Chore(name="_repair", work=self._repair, every_s=REPAIR_S, due_at=time.monotonic() + REPAIR_S),
            Chore(name="_images", work=lambda: gc.collect(self._ctx), every_s=IMAGES_S, due_at=first),
        )

    def run(self, stop: StopSignal) -> None:
        """Bring every app up, then watch."""
        self._poked.setblocking(False)
        self._selector.register(self._poked, selectors.EVENT_READ, self._take_pokes)
        self._selector.register(stop, selectors.EVENT_READ, None)
        while not stop.is_set:
            for key, _ in self._selector.select(self._pause_s()):
                if key.data is not None:
                    key.data()
            self._do_what_is_due()

    # -- what happened

    def _note_end(self, container: Container) -> None:
        self._guard(container.id, lambda: self._tending.look_again(container.id))
        app = self._apps.get(container.labels.get(LABEL_APP, ""))
        if app is not None:
            app.look_at = 0.0
            app.needs_routes = True

    def _take_pokes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._poked.recv(64):
                pass
        self._look_soon()

    def _look_soon(self) -> None:
        self._glance_at = min(self._glance_at, time.monotonic() + SETTLE_S)

    # -- what is due

    def _pause_s(self) -> float | None:
        has_room = len(self._workers) < MAX_WORKERS
        looks = [app.look_at for app in self._apps.values() if has_room and app.name not in self._workers]
        chores = [chore.due_at for chore in self._chores if chore.name not in self._workers]
        tending = time.monotonic() + (self._tending.due_at - self._ctx.now())
        cron_at = time.monotonic() + (self._timetable.due_at - self._ctx.now())
        due = min([self._rescan_at, self._glance_at, self._retire_at, tending, cron_at, *looks, *chores])
        return max(0.0, due - time.monotonic())

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._rescan_at <= now:
            self._rescan_at = now + RESCAN_S
            self._guard("rescan", self._rescan)
        if self._glance_at <= now:
            self._glance_at = math.inf
            self._guard("glance", self._glance)
        for app in list(self._apps.values()):
            if app.look_at <= now and app.name not in self._workers and len(self._workers) < MAX_WORKERS:
                app.look_at = math.inf
                self._guard(app.name, lambda app=app: self._look(app))  # type: ignore[misc]
        if self._timetable.due_at <= self._ctx.now():
            self._guard("cron", self._timetable.step)
        if self._retire_at <= now:
            self._retire_at = math.inf
            self._guard("retire", self._retire)
        self._guard("containers", self._tending.step)
        for chore in self._chores:
            if chore.due_at <= now and chore.name not in self._workers:
                chore.due_at = now + chore.every_s
                self._guard(chore.name, lambda chore=chore: self._start_chore(chore))  # type: ignore[misc]

    def _guard(self, what: str, work: Callable[[], object]) -> None:
        """Let one thing fail without harm to the others; it is tried again at the next look."""
        try:
            work()
        except PaasError as exc:
            self._ctx.output.warn(f"{what}: {exc.message}")
        except Exception:
            self._ctx.output.warn(f"{what}: {traceback.format_exc()}")

    def _rescan(self) -> None:
        """Look at every app, and for containers of apps that are gone."""
        self._take_names()
        is_proxy_down = not self._ctx.proxy.is_running()
        for app in self._apps.values():
            app.look_at = 0.0
            app.needs_routes |= is_proxy_down  # setting a route starts the proxy
        self._retirement.adopt_orphans(self._ctx)
        self._retire_at = 0.0
        self._timetable.refresh(self._take_containers())

    def _glance(self) -> None:
        """Look at the apps whose containers were held by somebody else since we looked: the traces of commands."""
        self._take_names()
        has_others = modified_at(self._ctx.paths.containers) != self._containers_changed_at
        for app in self._apps.values():
            turn = lock_holder(self._ctx.paths.container_lock(app.name))
            if turn is None or turn.pid != os.getpid():
                app.look_at = 0.0
                if not has_others:
                    self._watch.update(self._ctx.engine.list({LABEL_APP: app.name, LABEL_KIND: KIND_PROCESS}))
        if has_others:
            self._guard("containers", self._take_containers)
        self._retire_at = 0.0
        self._timetable.glance()

    def _take_containers(self) -> tuple[Container, ...]:
        """Watch all containers there are."""
        changed_at = modified_at(self._ctx.paths.containers)
        found = self._ctx.engine.list()
        self._watch.update([c for c in found if c.labels.get(LABEL_KIND) == KIND_PROCESS])
        self._tending.update(found)
        self._containers_changed_at = changed_at
        self._guard("logs", lambda: self._logs.update(found))
        return found

    def _take_names(self) -> None:
        names = {app.name for app in self._ctx.state.apps.list()}
        self._apps = {name: self._apps.get(name) or Watched(name=name) for name in sorted(names)}

    def _look(self, watched: Watched) -> None:
        """Compare fact and intent of one app; start a worker if something is due now."""
        app = self._ctx.state.apps.find(watched.name)
        if app is None:
            return
        due: frozenset[ProcessId] = frozenset()
        deployment = current_deployment(self._ctx, app)
        if deployment is not None:
            self._checked.ensure(deployment)
            due = self._due(watched, deployment)
        try:
            watched.needs_routes |= self._retirement.adopt(self._ctx, app.name)
        except Conflict:
            watched.look_at = min(watched.look_at, time.monotonic() + RETRY_S)
        self._retire_at = min(self._retire_at, time.monotonic() + RETIRE_S)
        if due or watched.needs_routes:
            watched.needs_routes = False
            self._start_worker(watched, due)

    def _due(self, watched: Watched, deployment: Deployment) -> frozenset[ProcessId]:
        """Return the processes to start now; see to the next look when others are due later."""
        now = self._ctx.now()
        missing = rollout.missing(self._ctx, deployment.app)
        serving = [container for container in self._ctx.scheduler.serving(deployment) if container.is_held]
        ended = watched.lives.observe(deployment, serving, missing, now)
        due, next_at = watched.lives.due(_policy(deployment), missing, now)
        if ended:
            watched.needs_routes = True
            self._ctx.output.warn(f"{watched.name}: {', '.join(map(str, ended))} ended")
        watched.look_at = min(watched.look_at, time.monotonic() + (next_at - now))
        return due

    # -- what is done

    def _start_worker(self, watched: Watched, due: frozenset[ProcessId]) -> None:
        def reconcile() -> int:
            try:
                failures = rollout.reconcile(self._ctx, watched.name, only=due)
            except Conflict:
                return os.EX_TEMPFAIL  # a command holds the app's containers
            for failure in failures:
                self._ctx.output.warn(f"{watched.name}: {failure.message}")
            return int(bool(failures))

        def note(code: int) -> None:
            is_busy = code == os.EX_TEMPFAIL
            watched.needs_routes |= is_busy
            watched.look_at = time.monotonic() + (RETRY_S if is_busy else 0.0)
            if due and not is_busy:
                watched.lives.note_start(due, self._ctx.now())
            self._guard("watch", lambda: self._watch.update(self._ctx.engine.list({LABEL_APP: watched.name})))

        self._workers.start(watched.name, reconcile, note)

    def _start_chore(self, chore: Chore) -> None:
        self._workers.start(chore.name, lambda: self._in_worker(chore.work), lambda _code: None)

    def _retire(self) -> None:
        if self._retirement.step(self._ctx):
            self._retire_at = time.monotonic() + RETIRE_S

    def _repair(self) -> None:
        for done in self._ctx.engine.repair():
            self._ctx.output.step(done)
        ledger.close_interrupted(self._ctx)
        tasks.reap(self._ctx)

    def _keep_logs(self) -> None:
        self._ctx.engine.keep_logs()
        in_use = frozenset(c.log_path for c in self._ctx.engine.list() if c.log_path is not None)
        cron.prune(self._ctx)
        prune_logs(self._ctx.paths.logs, keep=self._ctx.settings.log_keep, in_use=in_use)

    def _in_worker(self, work: Callable[[], object]) -> int:
        try:
            work()
        except PaasError as exc:
            self._ctx.output.warn(exc.message)
            return exc.exit_code
        return 0


def _policy(deployment: Deployment) -> RestartPolicy:
    return parse_restart_policy(deployment.properties.get(_POLICY) or DEFAULT_POLICY)
