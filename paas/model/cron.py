"""Cron: what a schedule may be, when a task is due, and the record of its runs. Pure.

Five fields (cronsim reads them as Debian's cron does, also when clocks change), `@hourly`, `@daily`, `@weekly`, `@monthly`,
`@yearly`, and `@every 90s|15m|1h30m`, which is due at multiples of the period, so that a restart moves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum

from cronsim import CronSim, CronSimError

from paas.errors import InvalidInput

_NAMED = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_EVERY = re.compile(r"@every\s+(?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,5})m)?(?:(?P<s>\d{1,6})s)?", re.ASCII)
_EXAMPLES = 'e.g. "*/5 * * * *", "@daily" or "@every 15m"'
_YEAR_S = 366 * 86400
#: A run may begin so much later than it is due: a restart of the server, a busy minute. Later than that it was missed.
GRACE_S = 60.0
#: More missed runs are not counted, only said to be more.
MOST_MISSED = 100
_MOST_LOOKED_AT = MOST_MISSED + 2


class Concurrency(StrEnum):
    """What happens when a task is due while it still runs: one more, none, or the new one instead of the old one."""

    ALLOW = "allow"
    FORBID = "forbid"
    REPLACE = "replace"


class CronStatus(StrEnum):
    """What became of a run. SKIPPED: another one was running; MISSED: nobody was there to run it; LOST: its container went."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    REPLACED = "replaced"
    STOPPED = "stopped"
    SKIPPED = "skipped"
    MISSED = "missed"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class CronRun:
    """One run of a task. Times are epoch seconds, 0 for what has not happened; `moment` 0 is a run that somebody asked for."""

    id: int
    app: str
    task: str
    command: str
    moment: float
    status: CronStatus
    actor: str
    queued_at: float
    release: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int | None = None
    detail: str = ""

    @property
    def is_over(self) -> bool:
        return self.finished_at > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a task is due: a cron line of five fields, or every `period_s` seconds."""

    text: str
    fields: str = ""
    period_s: int = 0


def parse_schedule(text: str) -> Schedule:
    """Read a schedule. Raises InvalidInput for one that is none, or that never comes."""
    line = " ".join(text.split())
    if line.startswith("@every"):
        return Schedule(text=line, period_s=_period(line))
    fields = _NAMED.get(line.lower(), line)
    if fields.startswith("@"):
        raise InvalidInput(f"'{text}' is no schedule", remedy=_EXAMPLES)
    if len(fields.split(" ")) != 5:
        raise InvalidInput(f"'{text}' is no schedule: it needs five fields", remedy=_EXAMPLES)
    try:
        next(CronSim(fields, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as exc:
        raise InvalidInput(f"'{text}' is no schedule: {exc}", remedy=_EXAMPLES) from exc
    except StopIteration:
        raise InvalidInput(f"'{text}' is a day that never comes", remedy=_EXAMPLES) from None
    return Schedule(text=line, fields=fields)


def next_moment(schedule: Schedule, zone: tzinfo, *, after: float) -> float:
    """Return the first moment after `after` on which the schedule is due (epoch seconds)."""
    if schedule.period_s:
        return (after // schedule.period_s + 1) * schedule.period_s
    return next(CronSim(schedule.fields, datetime.fromtimestamp(after, zone))).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done about a schedule now. `run_at` is the moment to run for, 0 for none.

    `missed` counts moments that passed unused (MOST_MISSED: so many or more), the last of them at `missed_at`.
    """

    run_at: float = 0.0
    missed: int = 0
    missed_at: float = 0.0


def plan_due(schedule: Schedule, zone: tzinfo, *, after: float, now: float) -> Due:
    """Decide about the moments after `after` until now: the last is run if it is not too old, all others were missed."""
    moments: list[float] = []
    for moment in _moments_back(schedule, zone, now):
        if moment <= after or len(moments) > MOST_MISSED:
            break
        moments.append(moment)
    run_at = moments.pop(0) if moments and now - moments[0] <= GRACE_S else 0.0
    if not moments:
        return Due(run_at=run_at)
    return Due(run_at=run_at, missed=min(len(moments), MOST_MISSED), missed_at=moments[0])


def _moments_back(schedule: Schedule, zone: tzinfo, now: float) -> Iterator[float]:
    """Yield the moments on which it was due, from now into the past."""
    if schedule.period_s:
        last = now // schedule.period_s * schedule.period_s
        yield from (last - number * schedule.period_s for number in range(_MOST_LOOKED_AT))
        return
    # A moment of this very second counts, and cronsim yields only what is before.
    for moment in CronSim(schedule.fields, datetime.fromtimestamp(int(now) + 1, zone), reverse=True):
        yield moment.timestamp()


def _period(line: str) -> int:
    match = _EVERY.fullmatch(line)
    period = sum(int(match[unit] or 0) * size for unit, size in (("h", 3600), ("m", 60), ("s", 1))) if match else 0
    if not 1 <= period <= _YEAR_S:
        raise InvalidInput(f"'{line}' is no schedule", remedy="write e.g. @every 90s, @every 15m or @every 1h30m")
    return period
