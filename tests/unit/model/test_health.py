"""Health checks: what is laid over what, when the next is due, when a container counts as unhealthy."""

from __future__ import annotations

import pytest

from paas.model.health import (
    MAX_RESULTS,
    Health,
    HealthCheck,
    HealthResult,
    HealthStatus,
    after_check,
    effective_check,
    next_check_at,
)

CHECK = HealthCheck(argv=("true",), interval_s=30, timeout_s=5, start_period_s=60, start_interval_s=2, retries=3)


def result(at: float, exit_code: int) -> HealthResult:
    return HealthResult(at=at, exit_code=exit_code)


def after(*results: tuple[float, int]) -> Health:
    health = Health(status=HealthStatus.STARTING)
    for at, exit_code in results:
        health = after_check(CHECK, health, result(at, exit_code), started_at=0)
    return health


@pytest.mark.parametrize(
    ("asked", "image", "expected"),
    [
        (None, None, None),
        (HealthCheck(interval_s=5), None, None),
        (None, HealthCheck(argv=("a",)), ("a", 30, 30, 0, 5, 3)),
        (HealthCheck(interval_s=7, retries=1), HealthCheck(argv=("a",), interval_s=9, timeout_s=2), ("a", 7, 2, 0, 5, 1)),
        (HealthCheck(argv=("b",)), HealthCheck(argv=("a",), start_period_s=4), ("b", 30, 30, 4, 5, 3)),
        (HealthCheck(is_disabled=True), HealthCheck(argv=("a",)), None),
    ],
)
def test_a_check_is_laid_over_the_images(asked, image, expected):
    found = effective_check(asked, image)
    assert (
        found and (*found.argv, found.interval_s, found.timeout_s, found.start_period_s, found.start_interval_s, found.retries)
    ) == expected


@pytest.mark.parametrize(
    ("results", "status", "failures"),
    [
        ((), HealthStatus.STARTING, 0),
        (((10, 1), (20, 1), (30, 1), (50, 1)), HealthStatus.STARTING, 0),  # all in the start period
        (((10, 0),), HealthStatus.HEALTHY, 0),
        (((10, 0), (20, 1), (30, 1)), HealthStatus.HEALTHY, 2),  # after a success failures count, start period or not
        (((10, 0), (20, 1), (30, 1), (40, -1)), HealthStatus.UNHEALTHY, 3),
        (((70, 1), (100, 1)), HealthStatus.STARTING, 2),
        (((70, 1), (100, 1), (130, 1)), HealthStatus.UNHEALTHY, 3),
        (((70, 1), (100, 1), (130, 1), (160, 0)), HealthStatus.HEALTHY, 0),
        (((10, 0), (20, 1), (30, 0), (40, 1), (50, 1)), HealthStatus.HEALTHY, 2),  # only failures in a row count
    ],
)
def test_failures_in_a_row_make_a_container_unhealthy(results, status, failures):
    health = after(*results)
    assert (health.status, health.failures) == (status, failures)


def test_the_last_results_are_kept():
    assert [r.at for r in after(*((at, 0) for at in range(10))).results] == list(range(10 - MAX_RESULTS, 10))


@pytest.mark.parametrize(
    ("results", "due"),
    [
        ((), 2),  # the start interval, while in the start period
        (((2, 1),), 4),
        (((2, 0),), 32),
        (((61, 1),), 91),
    ],
)
def test_the_next_check_is_due_an_interval_after_the_last(results, due):
    assert next_check_at(CHECK, after(*results), started_at=0) == due


def test_without_a_start_period_the_first_check_is_due_after_an_interval():
    check = HealthCheck(argv=("true",), interval_s=30, start_interval_s=5, timeout_s=1, retries=1)
    assert next_check_at(check, Health(status=HealthStatus.STARTING), started_at=100) == 130
