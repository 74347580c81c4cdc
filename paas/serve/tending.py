"""Containers made by hand: restart policies and `--rm`; and the health checks of all containers. Decides when, workers do it.

A container that was stopped by hand stays stopped, whatever its policy says. Times are epoch seconds, as containers have them.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from paas.engines import Engine
from paas.errors import NotFound
from paas.model.container import LABEL_KIND, Container, ContainerStatus
from paas.model.health import next_check_at
from paas.model.restart import NEVER, parse_restart_policy
from paas.serve.restarts import History, ended, next_start, restarted, running
from paas.serve.workers import Workers

#: Checks and starts at once; checks mostly wait for the command inside.
MAX_WORKERS = 8
#: The exit code is written a moment after the process's end.
EXIT_CODE_TIMEOUT_S = 5.0


@dataclass(slots=True, kw_only=True)
class Tended:
    """One container, and what its process has been through. `is_settled`: how it ended is known as well as it ever will be."""

    container: Container
    history: History = field(default_factory=History)
    is_settled: bool = False


class Tending:
    """What is to be done for containers, one worker a container. `watch` is given those whose end must be noticed."""

    def __init__(
        self, engine: Engine, workers: Workers, watch: Callable[[Iterable[Container]], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._workers, self._watch, self._now = engine, workers, watch, now
        self._tended: dict[str, Tended] = {}

    def update(self, containers: Iterable[Container]) -> None:
        """Take all containers in."""
        wanted = {c.id: c for c in containers if is_tended(c)}
        self._tended = {id: self._tended.get(id) or Tended(container=c) for id, c in wanted.items()}
        for container in wanted.values():
            self._observe(container)

    def look_again(self, container: str) -> None:
        """Read one container anew, which may be gone."""
        if container not in self._tended:
            return
        try:
            self._observe(self._engine.inspect(container))
        except NotFound:
            del self._tended[container]

    @property
    def due_at(self) -> float:
        """Return when there is something to do next; infinity for never, and while there is no room for more."""
        if len(self._workers) >= MAX_WORKERS:
            return math.inf
        return min((at for id, at in self._due() if id not in self._workers), default=math.inf)

    def step(self) -> None:
        """Start what is due, as far as there is room for it."""
        now = self._now()
        for id, at in sorted(self._due(), key=lambda due: due[1]):
            if at <= now and id not in self._workers and len(self._workers) < MAX_WORKERS:
                self._start(self._tended[id], now)

    def _due(self) -> list[tuple[str, float]]:
        return [(id, due_at(tended)) for id, tended in self._tended.items()]

    def _observe(self, container: Container) -> None:
        tended = self._tended[container.id]
        tended.container = container
        if container.is_running:
            tended.history, tended.is_settled = running(tended.history, started_at=container.started_at), False
            if is_kept(container):
                self._watch([container])
        elif container.status is ContainerStatus.STOPPED and not tended.history.is_down:
            tended.history = ended(tended.history, exit_code=None, now=container.finished_at or self._now())
        if container.exit_code is not None:
            tended.history, tended.is_settled = replace(tended.history, exit_code=container.exit_code), True

    def _start(self, tended: Tended, now: float) -> None:
        id = tended.container.id
        work = _work_for(tended, self._engine)
        if work == self._engine.start:
            tended.history = restarted(tended.history, now=now)
        tended.is_settled = tended.is_settled or not tended.container.is_running

        def run() -> int:
            with contextlib.suppress(NotFound):
                work(id)
            return 0

        self._workers.start(id, run, lambda _code: self.look_again(id))


def _work_for(tended: Tended, engine: Engine) -> Callable[[str], object]:
    """Return what is to be done now with a container that is due."""
    if tended.container.is_running:
        return engine.check_health
    if not tended.is_settled:
        return lambda id: engine.wait(id, timeout_s=EXIT_CODE_TIMEOUT_S)
    return engine.remove if tended.container.is_removed_at_end else engine.start


def is_tended(container: Container) -> bool:
    """Say whether there may be something to do for a container."""
    return is_kept(container) or (container.is_running and container.health_check is not None)


def is_kept(container: Container) -> bool:
    """Say whether something is to be done when it ends; apps' processes are the business of their deployment."""
    return LABEL_KIND not in container.labels and (
        container.is_removed_at_end or parse_restart_policy(container.restart) != NEVER
    )


def due_at(tended: Tended) -> float:
    """Return when to check, start or remove a container; infinity for never. Pure."""
    container = tended.container
    if container.is_running:
        if container.health_check is None:
            return math.inf
        return next_check_at(container.health_check, container.health, started_at=container.started_at)
    if container.status is not ContainerStatus.STOPPED:
        return math.inf
    if not tended.is_settled or container.is_removed_at_end:
        return 0.0
    if container.is_stopped_by_user:
        return math.inf
    return next_start(parse_restart_policy(container.restart), tended.history)
