"""What ends or delays a step from outside: a cancelled command, another stage that failed, a full disk, a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.errors import Cancelled

#: So much of the disk stays free for the apps and the database, unless there was less from the start.
_RESERVE_BYTES, _RESERVE_SHARE = 1 << 30, 0.05
_LOOK_EVERY_S = 0.5
_ASK_EVERY_S = 0.05


@dataclass(slots=True, eq=False)
class Guard:
    """One step under watch: `stop` becomes readable when it must end; `problem` says why when it is the step's fault."""

    stop: int
    stopping: int
    directory: Path
    reserve_bytes: int
    problem: str = ""

    def end(self) -> None:
        """Tell the step to end."""
        os.write(self.stopping, b"\0")


class Control:
    """The switch that ends all steps of one build. Any thread may turn it.

    One thread looks at the disk for all steps, from the first one on: a thread for each would cost more than the step's rest.
    """

    def __init__(self) -> None:
        self._cancelled, self._closed = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._guards: set[Guard] = set()
        self._watch: threading.Thread | None = None

    def cancel(self) -> None:
        """End all steps under way; none begins any more."""
        with self._lock:
            self._cancelled.set()
            for guard in self._guards:
                guard.end()

    def check(self) -> None:
        """Raise Cancelled once the build is."""
        if self._cancelled.is_set():
            raise Cancelled("The build was stopped")

    def close(self) -> None:
        """Stop watching: no step is left."""
        self._closed.set()
        if self._watch is not None:
            self._watch.join()

    def lock(self, descriptor: int, *, on_wait: Callable[[], None] | None = None) -> None:
        """Take an exclusive lock, waiting for whoever has it. Raises Cancelled."""
        is_first = True
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if is_first and on_wait is not None:
                on_wait()
            is_first = False
            self._cancelled.wait(_ASK_EVERY_S)
            self.check()

    @contextlib.contextmanager
    def turn(self, file: Path, *, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the lock called `file`: of all builds on this machine one at a time. Nothing of it is left. Raises Cancelled."""
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self.lock(descriptor, on_wait=on_wait)
                if not _is_same(descriptor, file):
                    continue  # whoever had it has just ended
                try:
                    yield
                finally:
                    file.unlink(missing_ok=True)  # those who wait for it find that it is gone, and take a new one
                return
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def guarded(self, directory: Path) -> Iterator[Guard]:
        """Watch over one step that writes below `directory`. Raises Cancelled."""
        usage = shutil.disk_usage(directory)
        reserve = min(_RESERVE_BYTES, int(usage.total * _RESERVE_SHARE), usage.free // 2)
        stop, stopping = os.pipe2(os.O_CLOEXEC)
        guard = Guard(stop, stopping, directory, reserve)
        try:
            with self._lock:
                self.check()
                self._guards.add(guard)
                if self._watch is None:
                    self._watch = threading.Thread(target=self._look, daemon=True)
                    self._watch.start()
            yield guard
        finally:
            with self._lock:  # nobody writes to a descriptor that means another file by now
                self._guards.discard(guard)
            os.close(stop)
            os.close(stopping)

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_EVERY_S):
            with self._lock:
                for guard in self._guards:
                    free = shutil.disk_usage(guard.directory).free
                    if free < guard.reserve_bytes and not guard.problem:
                        guard.problem = f"it fills the disk: {free >> 20} MiB are left"
                        guard.end()


def _is_same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False

