"""Layers as tars: the names, whiteouts and extended attributes that an OCI layer and an overlayfs directory write differently.

    deleted        tar: an empty file `.wh.NAME`               overlayfs: a character device 0:0 called NAME
    opaque         tar: an empty file `.wh..wh..opq` inside    overlayfs: xattr trusted.overlay.opaque=y on the directory

`pack_layer` goes from the directory to the tar; the way back is unpack.py. Everything else in the tar is plain: hard links,
devices and xattrs as PAX records `SCHILY.xattr.*`.

Source: OCI image-spec v1.1, layer.md; Linux Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from paas.errors import HostProblem, InvalidInput
from paas.oci.digest import Digest

_CHUNK = 1 << 20
#: What ext4 says to an attribute of more than a block: the same as to a full disk.
_TOO_LARGE, _LARGE_XATTR_BYTES = (errno.ENOSPC, errno.E2BIG, errno.ERANGE), 2048
WHITEOUT_PREFIX = ".wh."
#: Names with this prefix are aufs's own; only the opaque marker means something to others.
RESERVED_PREFIX = ".wh..wh."
OPAQUE_MARKER = ".wh..wh..opq"
OPAQUE_XATTR = "trusted.overlay.opaque"
PAX_XATTR = "SCHILY.xattr."
#: overlayfs attributes that make a directory unreadable without the mount that made it.
_FOREIGN_XATTRS = ("trusted.overlay.redirect", "trusted.overlay.metacopy")


def parse_member_name(name: str) -> tuple[str, ...]:
    """Return the components of a tar member's name below the root. Raises InvalidInput for one that leaves it."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise InvalidInput(f"The archive's member '{name}' leads out of it")
    if "\0" in name:
        raise InvalidInput(f"The archive's member {name!r} has a NUL byte in its name")
    return parts


def whiteout_target(basename: str) -> str | None:
    """Return the name that a whiteout deletes, '' for aufs's own files, None when it is none. Raises InvalidInput."""
    if not basename.startswith(WHITEOUT_PREFIX):
        return None
    if basename.startswith(RESERVED_PREFIX):
        return ""
    target = basename.removeprefix(WHITEOUT_PREFIX)
    if target in ("", ".", ".."):
        raise InvalidInput(f"The archive has a whiteout of nothing: '{basename}'")
    return target


def is_portable_xattr(name: str) -> bool:
    """Say whether an extended attribute belongs into a layer: file capabilities and users' own, nothing of this machine."""
    return name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay."))


def is_whiteout(found: os.stat_result) -> bool:
    """Say whether a file of an overlayfs layer is a whiteout."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayer:
    """What `pack_layer` wrote: the digest of the tar (its diff_id) and its size."""

    diff_id: Digest
    size: int


def pack_layer(diff: Path, stream: BinaryIO, *, newest: float | None = None) -> PackedLayer:
    """Write an overlayfs directory as an OCI layer tar, uncompressed. The same directory always gives the same tar.

    Times later than `newest` (SOURCE_DATE_EPOCH) are written as that. Sockets are left out, as no tar can hold them.
    Raises HostProblem for a directory that is no plain layer.
    """
    output = _HashingStream(stream)
    seen: dict[tuple[int, int], str] = {}
    # errors: file names are bytes; what is not UTF-8 goes through unchanged
    with tarfile.open(fileobj=cast(IO[bytes], output), mode="w:", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        tar.copybufsize = _CHUNK  # type: ignore[attr-defined]
        for path, name in _walk(str(diff), ""):
            for member in _members(path, name, seen):
                if newest is not None:
                    member.mtime = min(member.mtime, int(newest))
                add_member(tar, member, path)
    return PackedLayer(diff_id=Digest("sha256", output.hasher.hexdigest()), size=output.size)


def add_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    """Write one member, its content from `path`."""
    if member.isreg() and member.size:
        with open(path, "rb", buffering=0) as content:
            tar.addfile(member, content)
    else:
        tar.addfile(member)
    tar.members.clear()  # type: ignore[attr-defined]  # or it remembers every one


class _HashingStream:
    """Hash and count what is written through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.hasher = hashlib.sha256()
        self.size = 0

    def tell(self) -> int:
        return self.size

    def write(self, block: bytes) -> int:
        self.hasher.update(block)
        self.size += len(block)
        return self._stream.write(block)


def _walk(directory: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield path and member name of everything below, parents first, in the order of names."""
    for name in sorted(os.listdir(directory)):
        path, member = f"{directory}/{name}", f"{prefix}{name}"
        yield path, member
        if stat.S_ISDIR(os.lstat(path).st_mode):
            yield from _walk(path, f"{member}/")


def _members(path: str, name: str, seen: dict[tuple[int, int], str]) -> Iterator[tarfile.TarInfo]:
    """Yield the tar members for one file: none for a socket, two for an opaque directory."""
    found = os.lstat(path)
    parent, slash, base = name.rpartition("/")
    if is_whiteout(found):
        yield _marker(f"{parent}{slash}{WHITEOUT_PREFIX}{base}")
        return
    if base.startswith(WHITEOUT_PREFIX):
        raise HostProblem(f"The file {name} cannot be in an image layer: names that begin with .wh. mean deletions there")
    member = plain_member(path, name, seen)
    if member is None:
        return
    yield member
    if member.isdir() and read_xattrs(path).get(OPAQUE_XATTR) == b"y":
        yield _marker(f"{name}/{OPAQUE_MARKER}")


def plain_member(path: str, name: str, seen: dict[tuple[int, int], str]) -> tarfile.TarInfo | None:
    """Return the tar member of one file with its attributes, None for a socket. `seen` remembers hard links.

    Raises HostProblem for what no tar can hold.
    """
    member = _member(path, name, os.lstat(path), seen)
    if member is None or member.islnk():
        return member
    attributes = read_xattrs(path)
    if any(foreign in attributes for foreign in _FOREIGN_XATTRS):
        raise HostProblem(f"{name} was written by an overlay with redirect_dir or metacopy, which no tar can hold")
    member.pax_headers = {
        PAX_XATTR + key: value.decode("utf-8", "surrogateescape")
        for key, value in attributes.items()
        if is_portable_xattr(key)
    }
    return member


def _member(
    path: str, name: str, found: os.stat_result, seen: dict[tuple[int, int], str]
) -> tarfile.TarInfo | None:
    kind = _TYPES.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = stat.S_IMODE(found.st_mode)
    member.uid, member.gid = found.st_uid, found.st_gid
    member.mtime = int(found.st_mtime)
    if found.st_nlink > 1 and not member.isdir():
        first = seen.setdefault((found.st_dev, found.st_ino), name)
        if first != name:
            member.type, member.linkname = tarfile.LNKTYPE, first
            return member
    if member.issym():
        member.linkname = os.readlink(path)
    if member.ischr() or member.isblk():
        member.devmajor, member.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    member.size = found.st_size if member.isreg() else 0
    return member


def _marker(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def read_xattrs(path: str) -> dict[str, bytes]:
    """Return the extended attributes of a file itself, none where the filesystem has none."""
    with contextlib.suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        return {name: _read_xattr(path, name) for name in names}
    return {}


def _read_xattr(path: str, name: str) -> bytes:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as exc:
        if exc.errno == errno.ENODATA:
            return b""
        raise


def write_xattrs(file: str | int, member: tarfile.TarInfo) -> None:
    """Give a file or descriptor the attributes of a tar member, as far as they are portable. Raises InvalidInput, OSError."""
    for key, value in member.pax_headers.items():
        name = key.removeprefix(PAX_XATTR)
        if name == key or not is_portable_xattr(name):
            continue
        content = value.encode("utf-8", "surrogateescape")
        try:
            if isinstance(file, int):
                os.setxattr(file, name, content)
            else:
                os.setxattr(file, name, content, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in _TOO_LARGE or len(content) < _LARGE_XATTR_BYTES:
                raise
            problem = f"The archive's member '{member.name}' has an attribute {name} that this disk cannot hold"
            raise InvalidInput(problem) from exc


_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
