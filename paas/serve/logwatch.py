"""Logs that have reached their limit: the engine is told at once, so that however much is written, nothing is skipped."""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Iterable
from pathlib import Path

from paas.engines import Engine
from paas.errors import NotFound
from paas.host.renames import Renames
from paas.model.container import Container


class LogWatch:
    """Watches the logs of containers, which conmon replaces by renaming a new file to the log's name."""

    def __init__(self, selector: selectors.BaseSelector, engine: Engine) -> None:
        self._selector, self._engine = selector, engine
        self._renames: Renames | None = None
        self._containers: dict[Path, str] = {}

    def update(self, containers: Iterable[Container]) -> None:
        """Watch the logs of these from now on, and of no others. Raises OSError when the kernel has no more watches to give."""
        if self._renames is None:
            self._renames = Renames()
            self._selector.register(self._renames, selectors.EVENT_READ, self._take)
        found = {c.log_path: c.id for c in containers if c.log_path is not None}
        self._containers = {path: id for path, id in self._containers.items() if found.get(path) == id}
        for path, id in found.items():
            if path not in self._containers:
                with contextlib.suppress(FileNotFoundError):  # never started, or just removed
                    self._renames.watch(path.parent)
                    self._containers[path] = id
                    self._keep(id)  # what came before the watch

    def _take(self) -> None:
        assert self._renames is not None
        for path in self._renames.take():
            if path in self._containers:
                self._keep(self._containers[path])

    def _keep(self, container: str) -> None:
        with contextlib.suppress(NotFound):
            self._engine.keep_logs(container)
