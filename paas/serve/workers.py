"""Work in forks: whatever takes time or may fail badly, away from a process that must go on."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable

from paas.host.process import end_with_parent, rename_process


class Workers:
    """Forked children of one process, each with a name; `before_fork` closes what must not cross a fork."""

    def __init__(self, selector: selectors.BaseSelector, before_fork: Callable[[], None]) -> None:
        self._selector, self._before_fork = selector, before_fork
        self._pids: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._pids

    def __len__(self) -> int:
        return len(self._pids)

    def start(self, name: str, work: Callable[[], int], on_end: Callable[[int], None]) -> None:
        """Fork; `on_end` gets what `work` returned, 128 and more for a signal, 70 for a fault."""
        self._before_fork()
        pid = fork_worker(name, work)
        pidfd = os.pidfd_open(pid)
        self._pids[name] = pid

        def reap() -> None:
            self._selector.unregister(pidfd)
            os.close(pidfd)
            del self._pids[name]
            on_end(wait_for(pid))

        self._selector.register(pidfd, selectors.EVENT_READ, reap)


def fork_worker(name: str, work: Callable[[], int]) -> int:
    """Do `work` in a child process and return its pid; the child ends with what `work` returns, 70 for a fault."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = os.EX_SOFTWARE
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        end_with_parent(parent)
        rename_process(f"paas {name}")
        code = work()
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait_for(pid: int) -> int:
    """Wait for a child to end; return its exit code, 128 and its number for a signal."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code
