"""Deploys, scales and restarts under load lose no request: every answer is a 200, no connection is refused or cut."""

from __future__ import annotations

import threading
import time

import pytest

from e2e.load import Load
from e2e.samples import app
from harness import Instance

pytestmark = pytest.mark.e2e


def test_deploys_scales_and_restarts_lose_no_request(instance: Instance, app_name: str) -> None:
    repository = instance.repository(app("version 0"))
    repository.push(app_name).expect()
    with Load(instance, f"{app_name}.localhost") as load:
        for number in range(1, 5):
            repository.commit(app(f"version {number}"))
            repository.push(app_name).expect()
        for count in (3, 1, 2):
            instance.ssh("ps:scale", app_name, f"web={count}").expect()
        for _ in range(2):
            instance.ssh("ps:restart", app_name).expect()
        instance.ssh("config:set", app_name, "A=b").expect()
        time.sleep(1)
    assert load.errors == []
    assert set(load.answers) == {f"version {number}" for number in range(5)}
    assert all(count > 5 for count in load.answers.values())


def test_a_request_under_way_is_answered_by_the_old_release(instance: Instance, app_name: str) -> None:
    repository = instance.repository(app("old"))
    repository.push(app_name).expect()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(instance.get(f"{app_name}.localhost", "/slow/3", timeout_s=30)))
    asking.start()
    time.sleep(0.3)
    repository.commit(app("new"))
    repository.push(app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "new"
    asking.join()
    assert [(answer.status, answer.text) for answer in answers] == [(200, "old")]
