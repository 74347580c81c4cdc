"""Files and directories as plain tar streams and back: for copying, not for layers. No whiteouts; directories are merged."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from paas.oci.compression import read_plain
from paas.oci.layer import add_member, plain_member
from paas.oci.limits import NOTHING, Unpacked, UnpackLimits
from paas.oci.unpack import Unpacker, bytes_of_tar, unpack_members

#: The kernel's own file systems: they have no end, or what is in them means nothing elsewhere.
_NOT_ENTERED = ("/proc", "/sys", "/dev")


def pack_tree(path: str, name: str, stream: BinaryIO, *, keeps_owners: bool) -> None:
    """Write a file, or a directory with all below it, as a tar in which it is called `name`; '' leaves the directory out.

    Without `keeps_owners` all of it is root's. Raises OSError, HostProblem.
    """
    seen: dict[tuple[int, int], str] = {}
    # errors: file names are bytes; what is not UTF-8 goes through unchanged
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for file, member_name in _walk(path, name):
            member = plain_member(file, member_name, seen)
            if member is None:
                continue  # a socket
            if not keeps_owners:
                member.uid = member.gid = 0
            add_member(tar, member, file)


def unpack_tree(descriptor: int, root: str, *, below: str, limits: UnpackLimits) -> Unpacked:
    """Read a tar from a descriptor into a directory below `root`, where links lead as if that were the root of everything.

    A directory is never replaced by something else, nor the other way round. Raises InvalidInput, HostProblem.
    """
    with read_plain(descriptor, limit=bytes_of_tar(limits)) as plain:
        unpacker = Unpacker(Path(root), plain, (), limits, NOTHING, has_whiteouts=False, keeps_kinds=True)
        return unpack_members(plain, unpacker, below)


def _walk(path: str, name: str) -> Iterator[tuple[str, str]]:
    if name:
        yield path, name
    if not stat.S_ISDIR(os.lstat(path).st_mode) or path in _NOT_ENTERED:
        return
    for entry in sorted(os.scandir(path), key=lambda e: e.name):
        yield from _walk(entry.path, f"{name}/{entry.name}" if name else entry.name)
