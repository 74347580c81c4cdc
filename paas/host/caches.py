"""Directories that builds keep for later ones (`RUN --mount=type=cache`), each with a lock: who uses it, and when last.

    <name>          the directory
    .lock-<name>    its lock; its mtime is the last use
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from paas.host.files import remove_tree

_LOCK = ".lock-"


def open_lock(directory: Path, stack: contextlib.ExitStack) -> int:
    """Open the lock of a cache, and note that it is used; the stack closes it, which gives it back."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(_lock_of(directory), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, descriptor)
    os.utime(descriptor)
    return descriptor


def share(descriptor: int) -> None:
    """Use a cache together with others who share it."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def claim(descriptor: int) -> bool:
    """Take a cache for oneself alone; False when somebody else uses it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_cache(directory: Path, fill: Callable[[Path], object]) -> None:
    """Make a cache that is not there yet; it appears only when `fill` has done its work."""
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".new-") as parent:
        fresh = Path(parent) / directory.name
        fresh.mkdir()
        fill(fresh)
        try:
            fresh.rename(directory)
        except OSError:
            if not directory.is_dir():  # no: somebody else was first
                raise


def prune_caches(places: Iterable[Path], *, max_bytes: int) -> tuple[Path, ...]:
    """Remove what is more than `max_bytes` in all these places together, the last used kept; what is in use stays."""
    total = 0
    removed = []
    for directory in sorted(_caches(places), key=_last_use, reverse=True):
        size = _size(directory)
        if total + size > max_bytes and _removed(directory):
            removed.append(directory)
        else:
            total += size
    return tuple(removed)


def _caches(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            yield from (path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _removed(directory: Path) -> bool:
    with contextlib.ExitStack() as stack:
        descriptor = os.open(_lock_of(directory), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, descriptor)
        if not claim(descriptor):
            return False
        remove_tree(directory)  # the lock stays: somebody may be waiting for it
        return True


def _last_use(directory: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return _lock_of(directory).stat().st_mtime
    return 0


def _lock_of(directory: Path) -> Path:
    return directory.with_name(_LOCK + directory.name)


def _size(directory: Path) -> int:
    """Return the bytes on disk; files that go away meanwhile do not count."""
    total = 0
    for parent, names, files in os.walk(directory):
        for name in (*names, *files):
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(f"{parent}/{name}").st_blocks * 512
    return total
