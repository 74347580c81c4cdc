"""ADD's archives: recognise a tar by its content and write its members into the layer.

Members keep their ids, unless all are to be one owner's; a path that leads out of the destination is cut at it. What an
archive makes of itself is bounded.
"""

from __future__ import annotations

import contextlib
import lzma
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from os import makedev
from typing import IO

from paas.builders.dockerfile.writer import Attributes, LayerWriter
from paas.errors import InvalidInput
from paas.host.run import PIPE, spawn
from paas.oci.header import Header
from paas.oci.layer import PAX_XATTR, is_portable_xattr
from paas.oci.limits import DEFAULT_LIMITS, UnpackLimits

_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", _ZSTD)
_USTAR = (257, b"ustar")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, UnicodeError, OverflowError)


class ArchiveError(ValueError):
    """An archive that is damaged or would fill the disk; the text says why."""


def is_archive(path: str) -> bool:
    """Say whether a file is a tar, plain or compressed with gzip, bzip2, xz or zstd, whatever its name is."""
    with open(path, "rb") as stream:
        start = stream.read(512)
    if not start.startswith(_MAGIC) and start[_USTAR[0] : _USTAR[0] + 5] != _USTAR[1]:
        return False
    try:
        with _opened(path) as archive:
            return archive.next() is not None or not start.startswith(_MAGIC)
    except (*_DAMAGED, ArchiveError, InvalidInput, OSError):
        return False


def unpack_archive(
    path: str, destination: str, writer: LayerWriter, *, owner: tuple[int, int] | None = None,
    limits: UnpackLimits = DEFAULT_LIMITS,
) -> None:  # fmt: skip
    """Write all members below `destination`, in place of what is there; they are `owner`'s if one is given.

    Raises ArchiveError, FileNotFoundError and its kin.
    """
    unpacker = _Unpacker(destination, writer, owner, limits)
    try:
        with _opened(path) as archive:
            while (member := archive.next()) is not None:
                unpacker.add(archive, member)
                archive.members.clear()  # type: ignore[attr-defined]  # or it remembers every one
    except (*_DAMAGED, InvalidInput) as exc:
        raise ArchiveError(f"{posixpath.basename(path)} is a damaged archive: {exc}") from exc


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tarfile.TarFile]:
    # Unbuffered: the tool reads on from where the descriptor stands.
    with open(path, "rb", buffering=0) as stream, contextlib.ExitStack() as stack:
        start = stream.read(len(_ZSTD))
        stream.seek(0)
        content = _decompressed(stream.fileno(), stack) if start == _ZSTD else stream
        yield stack.enter_context(
            tarfile.open(fileobj=content, mode="r|*", tarinfo=Header, errors="surrogateescape")
        )


def _decompressed(descriptor: int, stack: contextlib.ExitStack) -> IO[bytes]:
    """Read zstd, which this Python does not know, through the tool."""
    child = stack.enter_context(spawn(["zstd", "--quiet", "--decompress", "--stdout"], stdin=descriptor, stdout=PIPE))
    stack.callback(child.kill)  # it may wait for us to read on
    assert child.stdout is not None
    return child.stdout


@dataclass(slots=True)
class _Unpacker:
    """One archive on its way below one directory."""

    destination: str
    writer: LayerWriter
    owner: tuple[int, int] | None
    limits: UnpackLimits
    files: int = 0
    size: int = 0

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Write one member."""
        self._count(member)
        inside = posixpath.normpath("/" + member.name).lstrip("/")
        target = posixpath.join(self.destination, inside).rstrip("/")
        attributes = _attributes(member, self.owner or (member.uid, member.gid))
        if inside:
            self.writer.directory(posixpath.dirname(target))  # one that no member describes is root's
            self.writer.clear(target, keeps_directory=member.isdir())
        if member.isdir():
            self.writer.directory(target, attributes, overwrites=True)
        elif not inside:
            return
        elif member.issym():
            self.writer.link(target, member.linkname, attributes)
        elif member.islnk():
            existing = posixpath.normpath("/" + member.linkname).lstrip("/")
            self.writer.hard_link(target, posixpath.join(self.destination, existing), attributes)
        elif member.isfile():
            content = archive.extractfile(member)
            assert content is not None  # a regular member has content
            self.writer.file(target, content, attributes)
        elif member.isfifo():
            self.writer.pipe(target, attributes)
        elif (member.ischr() or member.isblk()) and (member.devmajor or member.devminor):  # 0:0 would delete a file
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            self.writer.device(target, kind, makedev(member.devmajor, member.devminor), attributes)

    def _count(self, member: tarfile.TarInfo) -> None:
        self.files += 1
        self.size += max(member.size, 0) if member.isreg() else 0
        if self.files > self.limits.max_files:
            raise ArchiveError(f"the archive holds more than {self.limits.max_files} files")
        if self.size > self.limits.max_bytes:
            raise ArchiveError(f"the archive unpacks to more than {self.limits.max_bytes >> 20} MiB")


def _attributes(member: tarfile.TarInfo, owner: tuple[int, int]) -> Attributes:
    extended = tuple(
        (key.removeprefix(PAX_XATTR), value.encode("utf-8", "surrogateescape"))
        for key, value in member.pax_headers.items()
        if key.startswith(PAX_XATTR) and is_portable_xattr(key.removeprefix(PAX_XATTR))
    )
    return Attributes(
        mode=member.mode & 0o7777, uid=owner[0], gid=owner[1], mtime_ns=int(member.mtime * 1_000_000_000),
        extended=extended,
    )  # fmt: skip
