"""Deploys, scales and restarts under load lose no request: every answer is a 200, no connection is refused or cut."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter

import pytest

from e2e.samples import app
from harness import Instance

pytestmark = pytest.mark.e2e


class Load:
    """Clients with keep-alive connections that ask without pause. A closed idle connection is an error, too: nginx may
    close one only by saying `Connection: close`."""

    def __init__(self, instance: Instance, host: str, *, clients: int = 4) -> None:
        self.answers: Counter[str] = Counter()
        self.errors: list[str] = []
        self._instance, self._host, self._over = instance, host, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._instance.http_port, timeout=30)
        while not self._over.is_set():
            try:
                connection.request("GET", "/slow/0.01", headers={"Host": self._host})
                answer = connection.getresponse()
                text = answer.read().decode()
                if answer.status == 200:
                    self.answers[text] += 1
                else:
                    self.errors.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as exc:
                self.errors.append(repr(exc))
                connection.close()


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
