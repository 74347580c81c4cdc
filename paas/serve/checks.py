"""The check loop: liveness and readiness of everything that serves, in one worker of the supervisor, only while there are any.

An app without such checks costs nothing. What a check finds is judged and carried out by deploy/health.py.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import queue
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from paas.context import Context
from paas.deploy.health import Health, Verdict, carry_out, is_exhausted, is_watched, judge, running_checks, serving_in_turn
from paas.deploy.intent import current_deployment
from paas.errors import Conflict, PaasError
from paas.model.container import Container, process_of
from paas.model.healthcheck import Healthcheck
from paas.schedulers import CheckResult, Deployment
from paas.serve.workers import Workers

#: Between two looks for containers that came or went; the state is read again only when it has changed.
REFRESH_S = 2.0
#: When a command holds an app's turn.
RETRY_S = 0.5
#: No check is made more often.
SHORTEST_WAIT_S = 1.0
#: Checks at once: they mostly wait.
AT_ONCE = 16

Key = tuple[str, int]


@dataclass(eq=False, slots=True, kw_only=True)
class Target:
    """One check of one container that serves; `has_acted`: what it wants done when it fails was done for this failure."""

    app: str
    deployment: Deployment
    container: Container
    check: Healthcheck
    health: Health = field(default_factory=Health)
    is_gone: bool = False
    has_acted: bool = False


class CheckLoop:
    """All running checks of an instance. `on_replaced` is called when a container was told to stop."""

    def __init__(self, ctx: Context, *, on_replaced: Callable[[], None]) -> None:
        self._ctx, self._on_replaced = ctx, on_replaced
        self._targets: dict[Key, Target] = {}
        self._due: list[tuple[float, int, Target]] = []
        self._numbers = itertools.count()
        self._done: queue.SimpleQueue[tuple[Target, CheckResult, tuple[str, ...]]] = queue.SimpleQueue()
        self._watched: Mapping[str, Deployment] = {}
        self._seen_version = -1

    def run(self) -> int:
        """Check until nothing is left to check."""
        refresh_at = 0.0
        with contextlib.suppress(KeyboardInterrupt), ThreadPoolExecutor(AT_ONCE, thread_name_prefix="check") as pool:
            while True:
                now = self._ctx.now()
                if refresh_at <= now:
                    self._refresh(now)
                    refresh_at = now + REFRESH_S
                    if not self._watched:
                        break
                for target in self.take_due(now):
                    pool.submit(self._try, target)
                next_at = min(refresh_at, self._due[0][0] if self._due else refresh_at)
                self._take_results(max(0.0, next_at - self._ctx.now()))
        return 0

    def take_due(self, now: float) -> list[Target]:
        """Return the checks to make now."""
        found = []
        while self._due and self._due[0][0] <= now:
            target = heapq.heappop(self._due)[2]
            if not target.is_gone:
                found.append(target)
        return found

    def _refresh(self, now: float) -> None:
        """Take in containers that serve since the last look, and forget those that do not any more."""
        version = self._ctx.state.db.version()
        if version != self._seen_version:
            before, self._watched = self._watched, watched_apps(self._ctx)
            self._seen_version = version
            changed = {app for app, deployment in before.items() if self._watched.get(app) != deployment}
            self._forget(lambda target: target.app in changed)
        for app, deployment in self._watched.items():
            self._refresh_app(app, frozenset(c.id for c in self._ctx.scheduler.serving(deployment)), now)

    def _refresh_app(self, app: str, serving: frozenset[str], now: float) -> None:
        self._forget(lambda target: target.app == app and target.container.id not in serving)
        if serving - {key[0] for key in self._targets}:
            with contextlib.suppress(Conflict):  # some may still be starting: look again
                self._adopt(app, now)

    def _adopt(self, app: str, now: float) -> None:
        found = serving_in_turn(self._ctx, app)
        if found is None:
            return
        deployment, serving = found
        unready = self._ctx.scheduler.unready()
        for container in serving:
            for index, check in enumerate(running_checks(deployment, process_of(container).type)):
                if (container.id, index) not in self._targets:
                    health = Health(is_out=container.id in unready)
                    target = Target(app=app, deployment=deployment, container=container, check=check, health=health)
                    self._targets[container.id, index] = target
                    self._schedule(target, max(now, container.started_at + check.initial_delay_s) + _pause_s(check))

    def _forget(self, is_past: Callable[[Target], bool]) -> None:
        for key in [key for key, target in self._targets.items() if is_past(target)]:
            self._targets.pop(key).is_gone = True

    def _schedule(self, target: Target, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), target))

    def _try(self, target: Target) -> None:
        """Runs in a thread of the pool; what it found is taken in by the loop."""
        try:
            result = self._ctx.scheduler.check(target.deployment, target.container, target.check)
        except PaasError as exc:
            result = CheckResult(problem=exc.message)
        except Exception as exc:  # a defect in one check must not end the others
            result = CheckResult(problem=f"could not be made: {type(exc).__name__}: {exc}")
        self._done.put((target, result, self._acted(target, result)))

    def _acted(self, target: Target, result: CheckResult) -> tuple[str, ...]:
        """Do what the check wants done when it has failed, once, before its process is told to stop."""
        if result.is_passed:
            target.has_acted = False
        if target.has_acted or not is_exhausted(target.check, target.health, is_passed=result.is_passed):
            return ()
        target.has_acted = True
        try:
            return self._ctx.scheduler.act_on_failure(target.deployment, target.container, target.check, result.problem)
        except Exception as exc:  # a defect there must not end the check
            return (f"onFailure could not be done: {type(exc).__name__}: {exc}",)

    def _take_results(self, timeout_s: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._take(*self._done.get(timeout=timeout_s))
            while True:
                self._take(*self._done.get_nowait())

    def _take(self, target: Target, result: CheckResult, acted: tuple[str, ...]) -> None:
        for line in acted:
            self._ctx.output.warn(f"{target.app}: {line}")
        if acted:
            with contextlib.suppress(PaasError):
                self._ctx.state.events.record(target.app, self._ctx.identity.name, "checks", acted[0], self._ctx.now())
        if target.is_gone:
            return
        health, verdict = judge(target.check, target.health, is_passed=result.is_passed)
        pause_s = _pause_s(target.check)
        try:
            if verdict is not Verdict.NOTHING:
                carry_out(self._ctx, target.app, target.container, verdict, result.problem)
            target.health = health
            if verdict is Verdict.REPLACE:
                self._on_replaced()
        except Conflict:
            pause_s = RETRY_S  # and judge anew: it may have recovered by then
        except PaasError as exc:
            self._ctx.output.warn(f"{target.app}: {exc.message}")
        self._schedule(target, self._ctx.now() + pause_s)


def watched_apps(ctx: Context) -> dict[str, Deployment]:
    """Return the apps with processes that are checked while they run, with what should run of them."""
    found = {}
    for app in ctx.state.apps.list():
        deployment = current_deployment(ctx, app)
        if deployment is not None and is_watched(deployment):
            found[app.name] = deployment
    return found


def _pause_s(check: Healthcheck) -> float:
    return max(check.wait_s, SHORTEST_WAIT_S)


class CheckedApps:
    """The check loop as the supervisor has it: a worker that is started when an app needs it, and tells by a pipe what it did."""

    #: No app can have this name.
    NAME = "checks of apps"

    def __init__(
        self, selector: selectors.BaseSelector, workers: Workers, *, ctx: Context, on_replaced: Callable[[], None]
    ) -> None:
        self._workers, self._ctx = workers, ctx
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._on_replaced = on_replaced
        selector.register(self._reader, selectors.EVENT_READ, self._hear)

    def ensure(self, deployment: Deployment) -> None:
        """Start the loop if the deployment is to be checked and it does not run."""
        if self.NAME not in self._workers and is_watched(deployment):
            loop = CheckLoop(self._ctx, on_replaced=self._tell)
            self._workers.start(self.NAME, loop.run, lambda _code: None)

    def _tell(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been told often enough
            os.write(self._writer, b"x")

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)
        self._on_replaced()
