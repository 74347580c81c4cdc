"""Ends of processes as events: a pidfd becomes readable when its process ends, whoever its parent is. pidfd_open(2)."""

from __future__ import annotations

import contextlib
import os
import selectors
from collections.abc import Callable, Iterable

from paas.model.container import Container


class Watch:
    """Watches the init processes of containers; calls `on_end(container)` once for each that ends."""

    def __init__(self, selector: selectors.BaseSelector, on_end: Callable[[Container], None]) -> None:
        self._selector, self._on_end = selector, on_end
        self._watched: dict[int, int] = {}  # pid -> pidfd

    def update(self, containers: Iterable[Container]) -> None:
        """Watch these from now on; those that ended before this reached them are reported at once."""
        for container in containers:
            if container.is_running and container.pid and container.pid not in self._watched:
                self._add(container)

    def _add(self, container: Container) -> None:
        try:
            pidfd = os.pidfd_open(container.pid)
        except ProcessLookupError:
            self._on_end(container)
            return
        self._watched[container.pid] = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._note(container))

    def _note(self, container: Container) -> None:
        pidfd = self._watched.pop(container.pid)
        self._selector.unregister(pidfd)
        with contextlib.suppress(OSError):
            os.close(pidfd)
        self._on_end(container)
