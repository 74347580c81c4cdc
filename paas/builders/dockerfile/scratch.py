"""Directories that a build uses and takes away again, also after a build that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.host.files import remove_tree

_PREFIX = "dockerfile-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Where a build puts files: `disk` for large ones, `memory` for secrets. Only root may list either."""

    disk: Path
    memory: Path

    def new_directory(self) -> Path:
        """Return a new directory on disk."""
        return Path(tempfile.mkdtemp(dir=self.disk))

    def new_socket(self) -> Path:
        """Return where to bind a new socket."""
        return Path(tempfile.mkdtemp(dir=self.memory)) / "socket"

    def new_secret(self) -> Path:
        """Return where to write a new secret."""
        return Path(tempfile.mkdtemp(dir=self.memory)) / "secret"


@contextlib.contextmanager
def scratch_directories(disk: Path, memory: Path) -> Iterator[Scratch]:
    """Give a build its directories below these two; first remove those whose builds are dead."""
    with _directory(disk) as on_disk, _directory(memory) as in_memory:
        yield Scratch(disk=on_disk, memory=in_memory)


@contextlib.contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    """Make a directory and hold its lock, which the kernel frees when we die."""
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent):  # nobody sweeps between making a directory and locking it
        for old in parent.glob(f"{_PREFIX}*"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError), _locked(old, waits=False):
                remove_tree(old)
        directory = Path(tempfile.mkdtemp(dir=parent, prefix=_PREFIX))
        directory.chmod(0o711)  # what is below belongs to root, or to a tool that runs as nobody
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        remove_tree(directory)
        os.close(lock)


@contextlib.contextmanager
def _locked(directory: Path, *, waits: bool = True) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
