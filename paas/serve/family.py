"""The children of the server's parent: started, restarted with growing delays, stopped."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from paas.host.process import close_descriptors, end_with_parent, rename_process
from paas.serve.executor import CUT_TIMEOUT_S, FINISH_TIMEOUT_S
from paas.serve.restarts import delay_s
from paas.serve.stop import StopSignal

#: The parent waits longer for its children than they wait for their commands.
STOP_TIMEOUT_S = FINISH_TIMEOUT_S + CUT_TIMEOUT_S + 5
#: A child that lived so long has not failed to start.
STABLE_S = 60.0
#: Clients wait meanwhile: the sockets are ours.
LONGEST_DELAY_S = 8.0
_ENDING = (signal.SIGTERM, signal.SIGINT)


@dataclass(eq=False, slots=True, kw_only=True)
class Child:
    """One of them: `work` is what it does, in a process that keeps only the descriptors `keeps`. `pid` 0: it does not run."""

    name: str
    work: Callable[[], None]
    keeps: Sequence[int]
    pid: int = 0
    pidfd: int = -1
    started_at: float = 0.0
    failures: int = 0
    due_at: float = 0.0


class Family:
    """All children of this process."""

    def __init__(self, children: Sequence[Child], stop: StopSignal) -> None:
        self._children, self._stop = children, stop
        self._selector = selectors.DefaultSelector()
        self._selector.register(stop, selectors.EVENT_READ)

    def start(self) -> None:
        """Start all children."""
        for child in self._children:
            self._start(child)

    def watch(self) -> None:
        """Restart what ends, until the stop signal."""
        while not self._stop.is_set:
            due = [child.due_at - time.monotonic() for child in self._children if not child.pid]
            for key, _ in self._selector.select(max(0.0, min(due)) if due else None):
                if key.data is not None:
                    self._note_end(key.data)
            for child in self._children:
                if not self._stop.is_set and not child.pid and child.due_at <= time.monotonic():
                    self._start(child)

    def stop(self) -> None:
        """Tell all children to end and wait for them; kill those that do not in time."""
        for child in self._children:
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_TIMEOUT_S
        self._selector.unregister(self._stop)
        while any(child.pid for child in self._children) and time.monotonic() < until:
            for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
                self._reap(key.data)
        for child in self._children:
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)
                self._reap(child)

    def _start(self, child: Child) -> None:
        parent = os.getpid()
        # What handles them here is not the child's: it would take the wish to end for ours, and live on.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            child.pid = os.fork()
            if child.pid == 0:
                _live(child, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        child.started_at = time.monotonic()
        child.pidfd = os.pidfd_open(child.pid)
        self._selector.register(child.pidfd, selectors.EVENT_READ, child)

    def _note_end(self, child: Child) -> None:
        how = self._reap(child)
        lived_s = time.monotonic() - child.started_at
        child.failures = 1 if lived_s >= STABLE_S else child.failures + 1
        wait_s = 0.0 if child.failures == 1 else min(LONGEST_DELAY_S, delay_s(child.failures - 1))
        child.due_at = time.monotonic() + wait_s
        log(f"{child.name} ended ({how}); starting it again" + (f" in {wait_s:g} s" if wait_s else ""))

    def _reap(self, child: Child) -> str:
        _, status = os.waitpid(child.pid, 0)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.pid, child.pidfd = 0, -1
        code = os.waitstatus_to_exitcode(status)
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def log(text: str) -> None:
    """Write a line to the server's log."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _live(child: Child, parent: int) -> NoReturn:
    """Be a child: never returns."""
    try:
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        end_with_parent(parent)
        rename_process(f"paas-{child.name}")
        close_descriptors(keep=child.keeps)
        child.work()
        os._exit(0)
    except BaseException:
        log(traceback.format_exc())
    finally:
        os._exit(1)
