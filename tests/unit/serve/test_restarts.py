"""Restart policies and back-off."""

from __future__ import annotations

import math

import pytest

from paas.errors import InvalidInput
from paas.model.restart import Condition, RestartPolicy, parse_restart_policy
from paas.serve.restarts import History, delay_s, ended, next_start, restarted, running

ON_FAILURE = RestartPolicy(condition=Condition.ON_FAILURE, max_restarts=10)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("no", RestartPolicy(condition=Condition.NO)),
        ("always", RestartPolicy(condition=Condition.ALWAYS)),
        ("unless-stopped", RestartPolicy(condition=Condition.UNLESS_STOPPED)),
        ("on-failure", RestartPolicy(condition=Condition.ON_FAILURE)),
        ("on-failure:10", ON_FAILURE),
    ],
)
def test_policies_are_read(text: str, policy: RestartPolicy) -> None:
    assert parse_restart_policy(text) == policy


@pytest.mark.parametrize("text", ["", "never", "always:3", "on-failure:", "on-failure:x", "on-failure:-1"])
def test_other_policies_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_restart_policy(text)


def test_delays_double_up_to_a_minute() -> None:
    assert [delay_s(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_first_start_is_at_once_whatever_the_policy() -> None:
    assert next_start(RestartPolicy(condition=Condition.NO), History()) == 0


def test_crash_loop_is_slowed_down_and_given_up() -> None:
    history, now, waits = running(History(), started_at=100.0), 100.0, []
    while True:
        history = ended(history, exit_code=1, now=now)
        due = next_start(ON_FAILURE, history)
        if due == math.inf:
            break
        waits.append(due - now)
        now = due
        history = running(restarted(history, now=now), started_at=now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_process_that_ran_well_is_restarted_at_once_and_its_past_forgotten() -> None:
    history = ended(History(restarts=9, started_at=1000.0), exit_code=1, now=1060.0)
    assert (next_start(ON_FAILURE, history), history.restarts) == (1060.0, 0)


@pytest.mark.parametrize(
    ("policy", "exit_code", "is_restarted"),
    [
        ("on-failure:10", 0, False),
        ("on-failure:10", 1, True),
        ("on-failure:10", None, True),
        ("always", 0, True),
        ("unless-stopped", 0, True),
        ("no", 1, False),
    ],
)
def test_policy_decides_by_exit_code(policy: str, exit_code: int | None, is_restarted: bool) -> None:
    history = ended(running(History(), started_at=10.0), exit_code=exit_code, now=11.0)
    assert (next_start(parse_restart_policy(policy), history) < math.inf) is is_restarted
