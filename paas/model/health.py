"""Health checks of containers: what is asked (HealthCheck), what is known (Health), what follows from a result. Pure.

Source: Dockerfile reference, HEALTHCHECK; docker run, --health-*. A container is `starting` until a check passes or too many
fail; failures in the start period count only after the first success.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

INTERVAL_S, TIMEOUT_S, START_INTERVAL_S, RETRIES = 30.0, 30.0, 5.0, 3
#: Kept of what a check wrote, and so many results.
MAX_OUTPUT, MAX_RESULTS = 4096, 5
#: Reported when a check did not end in time.
TIMED_OUT = -1


class HealthStatus(StrEnum):
    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A command inside that exits with 0 when all is well; no `argv`: no check. A 0 means the default.

    In a ContainerSpec it is laid over the image's: what is not set there is the image's, `is_disabled` means none at all.
    """

    argv: tuple[str, ...] = ()
    interval_s: float = 0
    timeout_s: float = 0
    start_period_s: float = 0
    start_interval_s: float = 0
    retries: int = 0
    is_disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthResult:
    """One check that was run. `exit_code` is -1 when it was killed because it took too long."""

    at: float
    exit_code: int
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known about a container: `failures` in a row, the last results, the newest last."""

    status: HealthStatus = HealthStatus.NONE
    failures: int = 0
    results: tuple[HealthResult, ...] = ()


def effective_check(asked: HealthCheck | None, image: HealthCheck | None) -> HealthCheck | None:
    """Lay what is asked for over the image's check and fill in the defaults; None when there is nothing to check."""
    asked, image = asked or HealthCheck(), image or HealthCheck()
    argv = asked.argv or image.argv
    if asked.is_disabled or not argv:
        return None
    return HealthCheck(
        argv=argv,
        interval_s=asked.interval_s or image.interval_s or INTERVAL_S,
        timeout_s=asked.timeout_s or image.timeout_s or TIMEOUT_S,
        start_period_s=asked.start_period_s or image.start_period_s,
        start_interval_s=asked.start_interval_s or image.start_interval_s or START_INTERVAL_S,
        retries=asked.retries or image.retries or RETRIES,
    )


def next_check_at(check: HealthCheck, health: Health, *, started_at: float) -> float:
    """Return when the next check is due: an interval after the last one, or after the start."""
    last_at = max(health.results[-1].at if health.results else 0.0, started_at)
    is_starting = health.status in (HealthStatus.NONE, HealthStatus.STARTING)
    if is_starting and last_at - started_at < check.start_period_s:
        return last_at + check.start_interval_s
    return last_at + check.interval_s


def after_check(check: HealthCheck, health: Health, result: HealthResult, *, started_at: float) -> Health:
    """Return what is known after one more result."""
    results = (*health.results, result)[-MAX_RESULTS:]
    if result.exit_code == 0:
        return Health(status=HealthStatus.HEALTHY, results=results)
    has_passed_before = health.status in (HealthStatus.HEALTHY, HealthStatus.UNHEALTHY)
    if not has_passed_before and result.at - started_at < check.start_period_s:
        return replace(health, status=HealthStatus.STARTING, results=results)
    failures = health.failures + 1
    status = HealthStatus.STARTING if health.status is HealthStatus.NONE else health.status
    return Health(status=HealthStatus.UNHEALTHY if failures >= check.retries else status, failures=failures, results=results)
