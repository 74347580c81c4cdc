"""Whether a process that just started has come to rest: what is still loading may still fail. Reads /proc.

Time alone says little: on a busy machine half a second is not enough for an interpreter to find out that a module is missing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

#: Processes looked at in a container; more than these are busy anyway.
_MOST = 64


class Stillness:
    """Looks at a process and its descendants again and again."""

    def __init__(self, pid: int, now: float) -> None:
        self._pid, self._since, self._ticks = pid, now, -1

    def lasts_s(self, now: float) -> float:
        """Return for how long none of them has run, as far as was seen."""
        ticks, is_running = activity_of(self._pid)
        if is_running or ticks != self._ticks:
            self._since = now
        self._ticks = ticks
        return now - self._since


def activity_of(pid: int) -> tuple[int, bool]:
    """Return the clock ticks that a process and its descendants have used, and whether any runs, waits for a cpu or a disk.

    Source: proc(5), /proc/pid/stat (state, utime, stime) and /proc/pid/task/tid/children.
    """
    ticks, is_running, seen, left = 0, False, 0, [pid]
    while left and seen < _MOST:
        process, seen = left.pop(), seen + 1
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            is_running |= fields[0] in "RD"
            left += map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
    return ticks, is_running
