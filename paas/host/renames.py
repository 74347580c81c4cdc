"""Files that are renamed into a directory, as events. Source: inotify(7)."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

from paas.host import kernel

_IN_MOVED_TO, _IN_IGNORED = 0x80, 0x8000
_EVENT = struct.Struct("iIII")  # watch, what happened, cookie, length of the name that follows
_BUFFER_BYTES = 64 * 1024


class Renames:
    """Watches directories; its descriptor is readable when there is something to `take`. Raises OSError."""

    def __init__(self) -> None:
        self._descriptor = kernel.open_inotify()
        self._directories: dict[int, Path] = {}

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._descriptor

    def watch(self, directory: Path) -> None:
        """Watch a directory from now on; one that is watched already, also under another name, is not watched twice."""
        self._directories[kernel.add_watch(self._descriptor, directory, _IN_MOVED_TO)] = directory

    def take(self) -> list[Path]:
        """Return the files that were renamed into watched directories since the last call."""
        with contextlib.suppress(BlockingIOError):
            return self._parse(os.read(self._descriptor, _BUFFER_BYTES))
        return []

    def close(self) -> None:
        """End all watches."""
        os.close(self._descriptor)

    def _parse(self, events: bytes) -> list[Path]:
        found, at = [], 0
        while at < len(events):
            number, what, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if what & _IN_IGNORED:
                self._directories.pop(number, None)  # it was removed
            elif number in self._directories:
                name = events[at - length : at].rstrip(b"\0")
                found.append(self._directories[number] / os.fsdecode(name))
        return found
