"""What ends or delays a step from outside: a cancelled command, another stage that failed, a full disk, a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
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


@dataclass(slots=True)
class Guard:
    """One step under watch: `stop` becomes readable when it must end; `problem` says why when it is the step's fault."""

    stop: int
    problem: str = ""


class Control:
    """The switch that ends all steps of one build. Any thread may turn it."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC)

    def cancel(self) -> None:
        """End all steps under way; none begins any more."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            os.write(self._writing, b"\0")

    def check(self) -> None:
        """Raise Cancelled once the build is."""
        if self._cancelled.is_set():
            raise Cancelled("The build was stopped")

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reading)
        os.close(self._writing)

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
        """Watch over one step that writes below `directory`."""
        with contextlib.ExitStack() as stack:
            stop, stopping = _pipe(stack)
            ended, ending = _pipe(stack)
            guard = Guard(stop)
            watch = threading.Thread(target=self._watch, args=(guard, directory, stopping, ended), daemon=True)
            watch.start()
            stack.callback(watch.join)
            stack.callback(os.write, ending, b"\0")
            yield guard

    def _watch(self, guard: Guard, directory: Path, stopping: int, ended: int) -> None:
        usage = shutil.disk_usage(directory)
        reserve = min(_RESERVE_BYTES, int(usage.total * _RESERVE_SHARE), usage.free // 2)
        while True:
            ready = select.select([ended, self._reading], [], [], _LOOK_EVERY_S)[0]
            if ended in ready:
                return
            free = shutil.disk_usage(directory).free
            if not ready and free >= reserve:
                continue
            if not ready:
                guard.problem = f"it fills the disk: {free >> 20} MiB are left"
            os.write(stopping, b"\0")
            return


def _is_same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    return reading, writing
