"""ADD's archives: recognise a tar by its content and write its members into the layer.

Members keep their ids; a path that leads out of the destination is cut at it; device files are left out.
"""

from __future__ import annotations

import posixpath
import tarfile

from paas.builders.dockerfile.writer import Attributes, LayerWriter

_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
_USTAR = (257, b"ustar")


def is_archive(path: str) -> bool:
    """Say whether a file is a tar, plain or compressed with gzip, bzip2 or xz, whatever its name is."""
    with open(path, "rb") as stream:
        start = stream.read(512)
    if not start.startswith(_MAGIC) and start[_USTAR[0] : _USTAR[0] + 5] != _USTAR[1]:
        return False
    try:
        with tarfile.open(path) as archive:
            archive.next()
    except (tarfile.TarError, OSError, EOFError):
        return False
    return True


def unpack_archive(path: str, destination: str, writer: LayerWriter, *, owner: tuple[int, int] | None = None) -> None:
    """Write all members below `destination`; `owner` replaces theirs. Raises FileNotFoundError and its kin."""
    with tarfile.open(path) as archive:
        for member in archive:
            _write_member(archive, member, destination, writer, owner)


def _write_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, destination: str, writer: LayerWriter, owner: tuple[int, int] | None
) -> None:
    inside = posixpath.normpath("/" + member.name).lstrip("/")
    target = posixpath.join(destination, inside).rstrip("/")
    uid, gid = owner or (member.uid, member.gid)
    attributes = Attributes(mode=member.mode & 0o7777, uid=uid, gid=gid, mtime_ns=int(member.mtime * 1_000_000_000))
    if member.isdir():
        writer.directory(target, attributes)
    elif not inside:
        return
    elif member.issym():
        writer.link(target, member.linkname, attributes)
    elif member.islnk():
        existing = posixpath.normpath("/" + member.linkname).lstrip("/")
        writer.hard_link(target, posixpath.join(destination, existing), attributes)
    elif member.isfile():
        content = archive.extractfile(member)
        assert content is not None  # a regular member has content
        writer.file(target, content, attributes)
    elif member.isfifo():
        writer.pipe(target, attributes)
