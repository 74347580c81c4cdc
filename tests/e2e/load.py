"""Clients that ask one app without pause, and what they were answered."""

from __future__ import annotations

import http.client
import threading
from collections import Counter

from harness import Instance


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
