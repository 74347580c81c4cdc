"""Run a tool that moves data for as long as it does: one that stalls is ended. Not for tools that think (run.stream).

Source: proc_pid_io(5): rchar and wchar count what all threads read and wrote, sockets included.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paas.errors import HostProblem
from paas.host.run import kill_group, spawn

_TICK_S = 0.25
#: Less than this within the time allowed is no movement: the runtime of a Go program wakes itself with a few bytes.
_LEAST_BYTES = 4096


def stream_patiently(
    argv: Sequence[str], on_line: Callable[[str], None], *, stall_s: float, timeout_s: float,
    env: Mapping[str, str] | None = None, check: Callable[[], None] = lambda: None,
) -> int:  # fmt: skip
    """Run a tool, hand on its lines, return its exit status. It ends when we do, whatever ends us.

    Raises HostProblem when it moves no data for `stall_s` or takes longer than `timeout_s`, and whatever `check` raises,
    which is called now and then; the tool is killed first.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        child = spawn(
            ["setpriv", "--pdeathsig", "KILL", *argv], stdout=writer, stderr=writer, env=env, new_session=True
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        lines, patience = _Lines(on_line), _Patience(child.pid, stall_s, timeout_s)
        while True:
            if select.select([reader], [], [], _TICK_S)[0]:
                chunk = os.read(reader, 65536)
                if not chunk:
                    break
                lines.add(chunk)
            patience.check()
            check()
        lines.end()
        return child.wait()
    finally:
        if child.poll() is None:
            kill_group(child.pid)
            child.wait()
        os.close(reader)


class _Lines:
    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line, self._rest = on_line, b""

    def add(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            self._on_line(line.decode(errors="replace").rstrip("\r"))

    def end(self) -> None:
        if self._rest:
            self.add(b"\n")


class _Patience:
    def __init__(self, pid: int, stall_s: float, timeout_s: float) -> None:
        self._file, self._stall_s, self._timeout_s = Path(f"/proc/{pid}/io"), stall_s, timeout_s
        self._moved, self._since = 0, time.monotonic()
        self._begin = self._since

    def check(self) -> None:
        """Raise HostProblem when the time is over."""
        now, moved = time.monotonic(), self._read()
        if now - self._begin > self._timeout_s:
            raise HostProblem(f"it took longer than {self._timeout_s:g} s")
        if moved is None or moved - self._moved >= _LEAST_BYTES:
            self._moved, self._since = moved or 0, now
        elif now - self._since > self._stall_s:
            raise HostProblem(f"no data moved for {self._stall_s:g} s")

    def _read(self) -> int | None:
        """Return the bytes moved so far, None when it has just ended or the kernel does not count."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            said = dict(line.split(": ") for line in self._file.read_text().splitlines())
            return int(said["rchar"]) + int(said["wchar"])
        return None
