"""Directories and files that belong to a living process: to whoever holds their lock.

What has no lock, its maker left when it died.

Source: flock(2): the kernel frees a lock when its holder dies, and a lock stays with its file through a rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

#: A hidden entry is a moment old, on its way to its lock or its name, or its maker has died.
GRACE_S = 60


@contextlib.contextmanager
def claimed_directory(path: Path) -> Iterator[None]:
    """Make a directory that is ours from its first moment on until the block is left. Removing it is the caller's work."""
    hidden = path.with_name(f".{secrets.token_hex(8)}")
    hidden.mkdir(mode=0o700)
    descriptor = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        hidden.rename(path)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claimed_file(path: Path, content: str) -> Iterator[int]:
    """Make a file that is ours from its first moment on; gives a descriptor to append to. Removed when the block is left."""
    hidden = path.with_name(f".{path.name}")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, content.encode())
        hidden.rename(path)
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Say whether nobody who lives holds it. Only for what `claimed_*` made."""
    if path.name.startswith("."):
        return is_stale(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # gone meanwhile: its owner has done with it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def is_stale(path: Path) -> bool:
    """Say whether a temporary file is older than anything takes that makes one."""
    try:
        return path.lstat().st_mtime < time.time() - GRACE_S
    except FileNotFoundError:
        return False
