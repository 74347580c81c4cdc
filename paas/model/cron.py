"""Cron: what a schedule may be. Pure.

Five fields (cronsim reads them as Debian's cron does), `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, and
`@every 90s|15m|1h30m`, which is due at multiples of the period, so that a restart moves nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
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


class Concurrency(StrEnum):
    """What happens when a task is due while it still runs: one more, none, or the new one instead of the old one."""

    ALLOW = "allow"
    FORBID = "forbid"
    REPLACE = "replace"


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


def _period(line: str) -> int:
    match = _EVERY.fullmatch(line)
    period = sum(int(match[unit] or 0) * size for unit, size in (("h", 3600), ("m", 60), ("s", 1))) if match else 0
    if not 1 <= period <= _YEAR_S:
        raise InvalidInput(f"'{line}' is no schedule", remedy="write e.g. @every 90s, @every 15m or @every 1h30m")
    return period
