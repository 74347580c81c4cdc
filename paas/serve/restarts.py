"""When a process that ended is started again: restart policy and back-off. Pure.

Source: Dokku's ps:set restart-policy (default on-failure:10), Docker's restart policies; delays 1, 2, 4 ... 60 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from paas.model.restart import Condition, RestartPolicy

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0
#: A process that ran so long had started well: its failures before that are forgotten.
STABLE_S = 60.0
DEFAULT_POLICY = "on-failure:10"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What one process of a deployment has been through. Times are epoch seconds, 0 for what has not happened.

    `restarts` counts our starts since it last ran well, `was_stable` says whether it ran well before its last end.
    """

    restarts: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    exit_code: int | None = None
    was_stable: bool = False

    @property
    def is_down(self) -> bool:
        """Say whether its last end is noted and no start since."""
        return self.ended_at > 0


def delay_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row, from 1."""
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 10))


def running(history: History, *, started_at: float) -> History:
    """Return the history of a process that is seen running since then."""
    return replace(history, started_at=started_at, ended_at=0.0, exit_code=None)


def restarted(history: History, *, now: float) -> History:
    """Return the history after we tried to start it."""
    return replace(history, restarts=history.restarts + (history.ended_at > 0), started_at=now, ended_at=0.0, exit_code=None)


def ended(history: History, *, exit_code: int | None, now: float) -> History:
    """Return the history after an end; `exit_code` is None when nobody knows it."""
    was_stable = history.started_at > 0 and now - history.started_at >= STABLE_S
    restarts = 0 if was_stable else history.restarts
    return replace(history, restarts=restarts, ended_at=now, exit_code=exit_code, was_stable=was_stable)


def next_start(policy: RestartPolicy, history: History) -> float:
    """Return when a process that does not run is due: 0 for at once, infinity for never."""
    if not history.is_down:
        return 0.0  # it never ran: a first start is no restart
    if policy.condition is Condition.NO:
        return math.inf
    if policy.condition is Condition.ON_FAILURE and history.exit_code == 0:
        return math.inf
    if policy.max_restarts and history.restarts >= policy.max_restarts:
        return math.inf
    return history.ended_at + (0.0 if history.was_stable else delay_s(history.restarts + 1))
