"""Files: atomic writes, locks that know their holder, removal that does not follow links."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.errors import Conflict, HostProblem


def atomic_write(path: Path, content: str | bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write the whole file or leave the old one: temporary file, fsync, rename. Raises HostProblem when the disk is full."""
    payload = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)  # the umask must not narrow what was asked for
            if owner is not None:
                os.fchown(stream.fileno(), *owner)
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise disk_problem(exc, path) from exc


def disk_problem(exc: OSError, path: Path) -> HostProblem:
    """Turn an OSError of a write into a sentence."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostProblem(f"The disk is full: could not write {path}", remedy="free some space, e.g. with: paas image:prune")
    return HostProblem(f"Could not write {path}: {exc.strerror or exc}", remedy="run: paas doctor")


def require_space(directory: Path, needed_bytes: int) -> None:
    """Raise HostProblem if the directory's disk has less left than is needed."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise HostProblem(
            f"The disk is full: {free >> 20} MiB are left for {directory}", remedy="free some space, e.g. with: paas image:prune"
        )


def remove_tree(path: Path) -> None:
    """Remove a directory tree; a missing one is fine. Links are removed, never followed."""
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path)
    except FileNotFoundError:
        pass  # gone, which is what we want


def move_tree(source: Path, target: Path) -> None:
    """Move a tree to `target`, into what is there already; a file of the same name is kept at the target."""
    if not source.exists():
        return
    if not target.exists():
        source.rename(target)
        return
    for child in source.iterdir():
        if child.is_dir() and not child.is_symlink():
            move_tree(child, target / child.name)
        elif not (target / child.name).exists():
            child.rename(target / child.name)
    remove_tree(source)


def modified_at(path: Path) -> float:
    """Return when a file, or the list of names in a directory, was changed (epoch seconds); 0 when there is none."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def last_lines(path: Path, count: int = 20) -> tuple[str, ...]:
    """Return the last lines of a text file, none if it is not there."""
    try:
        return tuple(path.read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHolder:
    """Who holds a lock: what it is doing, since when (epoch seconds), which process."""

    what: str
    since: float
    pid: int


@contextlib.contextmanager
def flock(
    path: Path,
    *,
    what: str,
    wait: bool = True,
    on_wait: Callable[[LockHolder | None], None] | None = None,
) -> Iterator[None]:
    """Hold an exclusive lock; the kernel frees it when the holder dies. The file tells who holds it.

    When it is taken: calls `on_wait` once and waits, or raises Conflict if not `wait`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock_holder(path)
            if not wait:
                who = f"{holder.what} (pid {holder.pid})" if holder else "another command"
                raise Conflict(f"{path.stem} is busy: {who}", remedy="wait until it is done, then try again") from None
            if on_wait is not None:
                on_wait(holder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"what": what, "since": time.time(), "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def held_by(path: Path) -> LockHolder | None:
    """Return who holds a lock now, None when nobody does. Takes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return lock_holder(path)
    finally:
        os.close(descriptor)
    return None


def lock_holder(path: Path) -> LockHolder | None:
    """Return who wrote the lock file last, or None."""
    try:
        said = json.loads(path.read_text())
        return LockHolder(what=said["what"], since=said["since"], pid=said["pid"])
    except (OSError, ValueError, KeyError):
        return None
