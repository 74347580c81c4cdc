"""Which connections are taken at all: so many at once, so many from one address in a minute without logging in. Pure."""

from __future__ import annotations

import threading
from collections import deque

WINDOW_S = 60.0


class Admission:
    """Counts connections. Times are given by the caller; safe to use from several threads."""

    def __init__(self, *, max_connections: int, attempts_per_minute: int) -> None:
        self._max_connections, self._attempts_per_minute = max_connections, attempts_per_minute
        self._lock = threading.Lock()
        self._open = 0
        self._attempts: dict[str, deque[float]] = {}

    def admit(self, address: str, now: float) -> str:
        """Take a connection, or return why not."""
        with self._lock:
            self._forget(now)
            if self._open >= self._max_connections:
                return "too many connections"
            attempts = self._attempts.setdefault(address, deque())
            if len(attempts) >= self._attempts_per_minute:
                return "too many connections from this address without a login"
            attempts.append(now)
            self._open += 1
        return ""

    def note_login(self, address: str) -> None:
        """Somebody who may come in does not count as an attempt."""
        with self._lock:
            attempts = self._attempts.get(address)
            if attempts:
                attempts.pop()

    def note_end(self) -> None:
        """Give a connection's place back."""
        with self._lock:
            self._open -= 1

    def _forget(self, now: float) -> None:
        for address, attempts in list(self._attempts.items()):
            while attempts and now - attempts[0] >= WINDOW_S:
                attempts.popleft()
            if not attempts:
                del self._attempts[address]
