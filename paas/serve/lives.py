"""What the supervisor remembers of one app's processes, and what follows from it. Pure; supervisor.py looks and acts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from paas.deploy.rollout import Missing
from paas.model.container import Container, process_of
from paas.model.process import ProcessId
from paas.model.restart import RestartPolicy
from paas.schedulers import Deployment
from paas.serve.restarts import History, ended, next_start, restarted, running

#: Tells one life of a process from the next: a new release or a restart by the user begins a new one.
Life = tuple[int, int]


@dataclass(slots=True)
class Lives:
    """The processes of one app's current deployment."""

    _lives: dict[ProcessId, Life] = field(default_factory=dict)
    _histories: dict[ProcessId, History] = field(default_factory=dict)

    def observe(
        self, deployment: Deployment, serving: Iterable[Container], missing: Iterable[Missing], now: float
    ) -> tuple[ProcessId, ...]:
        """Take in what runs and what does not; return those that ended since the last look."""
        self._forget_old(deployment)
        for container in serving:
            process = process_of(container)
            self._histories[process] = running(self._history(process), started_at=container.started_at)
        newly_ended = []
        for gone in missing:
            if gone.was_stopped_first:  # it did not end: it is due at once, whatever the policy says
                self._histories[gone.process] = History()
                continue
            history = self._history(gone.process)
            was_up = history.started_at > 0 or gone.exit_code is not None
            if was_up and not history.is_down:
                self._histories[gone.process] = ended(history, exit_code=gone.exit_code, now=now)
                newly_ended.append(gone.process)
        return tuple(newly_ended)

    def due(self, policy: RestartPolicy, missing: Iterable[Missing], now: float) -> tuple[frozenset[ProcessId], float]:
        """Return which of the missing ones to start now, and when the next one is due (infinity: none)."""
        times = {gone.process: next_start(policy, self._history(gone.process)) for gone in missing}
        later = [at for at in times.values() if at > now]
        return frozenset(process for process, at in times.items() if at <= now), min(later, default=math.inf)

    def note_start(self, processes: Iterable[ProcessId], now: float) -> None:
        """Remember that these are being started."""
        for process in processes:
            self._histories[process] = restarted(self._history(process), now=now)

    def _history(self, process: ProcessId) -> History:
        return self._histories.get(process, History())

    def _forget_old(self, deployment: Deployment) -> None:
        lives = {p: (deployment.release.version, deployment.generation_of(p)) for p in deployment.wanted()}
        self._histories = {p: h for p, h in self._histories.items() if lives.get(p) == self._lives.get(p)}
        self._lives = lives
