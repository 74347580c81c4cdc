"""What a file holds besides its name and permissions: its bytes with their holes, its extended attributes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import IO

from paas.oci.layer import is_portable_xattr

_PIECE = 1 << 30
_CHUNK = 1 << 20
_BLOCK = 512


def copy_bytes(source: str, target: Path) -> None:
    """Copy a regular file's content into a new file; holes stay holes. Links are not followed."""
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(reading)
            if found.st_blocks * _BLOCK >= found.st_size:
                _copy_range(reading, writing, 0, found.st_size)
            else:
                _copy_data(reading, writing, found.st_size)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def write_stream(source: IO[bytes], target: Path) -> None:
    """Write a stream into a new file; long runs of zeros become holes."""
    with target.open("xb") as sink:
        size = 0
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if chunk.count(0) == len(chunk):
                sink.seek(size)
            else:
                sink.write(chunk)
        sink.truncate(size)


def copy_attributes(source: str, target: Path) -> None:
    """Give a file the extended attributes of another that a layer may carry: capabilities and the users' own."""
    with contextlib.suppress(OSError):  # a file system without them
        for name in os.listxattr(source, follow_symlinks=False):
            if is_portable_xattr(name):
                os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)


def is_device(status: os.stat_result) -> bool:
    """Say whether a file is a device; overlayfs's mark of a deleted file is none."""
    return stat.S_ISBLK(status.st_mode) or (stat.S_ISCHR(status.st_mode) and status.st_rdev != 0)


def _copy_data(reading: int, writing: int, size: int) -> None:
    """Copy only what is no hole; the file keeps its length."""
    at = 0
    while at < size:
        try:
            start = os.lseek(reading, at, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise
            break  # nothing but a hole to the end
        at = os.lseek(reading, start, os.SEEK_HOLE)
        _copy_range(reading, writing, start, at)
    os.ftruncate(writing, size)


def _copy_range(reading: int, writing: int, start: int, end: int) -> None:
    os.lseek(writing, start, os.SEEK_SET)
    while start < end:
        copied = os.sendfile(writing, reading, start, min(end - start, _PIECE))
        if not copied:
            return  # it was truncated meanwhile
        start += copied
