"""An image's layers as one root file system in a tar, without a mount: what a container of it would see. Reads only.

Source: Linux Documentation/filesystems/overlayfs.rst, "Directories", "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast

from paas.oci.layer import OPAQUE_XATTR, add_member, is_whiteout, plain_member, read_xattrs


def write_rootfs(layers: Sequence[Path], stream: BinaryIO) -> None:
    """Write the tar of layers, the lowest first. Whiteouts are gone with what they hid; sockets are left out."""
    seen: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for path, name in _walk([str(layer) for layer in reversed(layers)], ""):
            member = plain_member(path, name, seen)
            if member is not None:
                add_member(tar, member, path)


def _walk(directories: Sequence[str], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield path and name of everything in a stack of directories, the topmost first, parents before children."""
    for name, paths in sorted(_entries(directories).items()):
        if not paths:
            continue
        yield paths[0], f"{prefix}{name}"
        if stat.S_ISDIR(os.lstat(paths[0]).st_mode):
            yield from _walk(paths, f"{prefix}{name}/")


def _entries(directories: Sequence[str]) -> dict[str, list[str]]:
    """Return for each name what is seen under it: one file, or directories that are merged; nothing for a deleted one."""
    found: dict[str, list[str]] = {}
    closed: set[str] = set()
    for directory in directories:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name in closed:
                    continue
                at = entry.stat(follow_symlinks=False)
                paths = found.setdefault(entry.name, [])
                if not stat.S_ISDIR(at.st_mode):
                    closed.add(entry.name)
                    if not paths and not is_whiteout(at):
                        paths.append(entry.path)
                    continue
                paths.append(entry.path)
                if read_xattrs(entry.path).get(OPAQUE_XATTR) == b"y":
                    closed.add(entry.name)
    return found
