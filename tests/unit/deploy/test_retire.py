import pytest

from paas.deploy.retire import QUIET_S, Action, Retiring, next_action
from paas.model.container import PLATFORM, Container, ContainerStatus


def retiring(**times: float) -> Retiring:
    container = Container(
        id="c1", name="shop.web.1", image="i", tenant=PLATFORM, argv=("x",), labels={},
        status=ContainerStatus.RUNNING, created_at=0,
    )  # fmt: skip
    return Retiring(container=container, ports=(5000,), since=100, wait_to_retire_s=60, stop_timeout_s=30, **times)


@pytest.mark.parametrize(
    ("times", "now", "is_running", "action"),
    [
        ({}, 101, True, Action.WAIT),  # requests in flight
        ({"quiet_since": 101}, 101 + QUIET_S / 2, True, Action.WAIT),  # quiet, but not for long enough
        ({"quiet_since": 101}, 101 + QUIET_S, True, Action.TERMINATE),
        ({}, 160, True, Action.TERMINATE),  # the longest a request may hold it
        ({"terminated_at": 160}, 189, True, Action.WAIT),
        ({"terminated_at": 160}, 190, True, Action.REMOVE),  # did not stop in time: removed by force
        ({"terminated_at": 160}, 161, False, Action.REMOVE),
        ({}, 100, False, Action.REMOVE),  # was dead already
    ],
)
def test_a_container_is_drained_then_told_to_stop_then_removed(times, now, is_running, action):
    assert next_action(retiring(**times), now=now, is_running=is_running) is action
