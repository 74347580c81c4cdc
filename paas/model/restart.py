"""Whether a process that ended is started again. Pure; when is serve/restarts.

Source: Docker's restart policies; Dokku's ps:set restart-policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from paas.errors import InvalidInput


class Condition(StrEnum):
    """When to start again."""

    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"
    UNLESS_STOPPED = "unless-stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """`max_restarts` 0 means no limit."""

    condition: Condition
    max_restarts: int = 0


NEVER = RestartPolicy(condition=Condition.NO)


def parse_restart_policy(text: str) -> RestartPolicy:
    """Read `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:<times>`. Raises InvalidInput."""
    name, colon, count = text.partition(":")
    is_counted = name == Condition.ON_FAILURE and count.isdecimal()
    if name not in set(Condition) or (colon and not is_counted):
        remedy = "use no, always, unless-stopped, on-failure or on-failure:10"
        raise InvalidInput(f"'{text}' is not a restart policy", remedy=remedy)
    return RestartPolicy(condition=Condition(name), max_restarts=int(count) if colon else 0)
