"""Tar headers, read quicker than tarfile does where they are plain, and never taken for the end when they are damaged.

Everything that is not plain (numbers in base 256, sparse files, prefixes, signed check sums) is tarfile's work as before.

Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from struct import Struct
from typing import Self, TypeVar

from paas.errors import InvalidInput
from paas.oci.compression import PlainStream

_Member = TypeVar("_Member", bound=tarfile.TarInfo)
_BLOCK = 512
#: A header's fields, the last byte of each number apart.
_FIELDS = Struct("100s 7sB 7sB 7sB 11sB 11sB 6s2x c 100s 5s 83x B 166x").unpack
_PLAIN_TYPES = frozenset({b"0", b"1", b"2", b"5", b"L", b"K", b"x", b"g"})
#: Of these, nothing belongs to the member but this one header.
_WHOLE_TYPES = frozenset({b"0", b"1", b"2", b"5"})
#: tarfile reads these headers into memory as a whole.
_READ_AS_A_WHOLE = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_MAX_HEADER_BYTES = 1 << 20
_DAMAGES = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
#: The check sum is computed as if its own eight bytes were spaces.
_SPACES = 8 * 0x20


class Header(tarfile.TarInfo):
    """A member of an archive that anybody may have written."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Read the next member. Raises InvalidInput where tarfile would take a damaged header for the end."""
        try:
            return super().fromtarfile(tarfile)
        except _DAMAGES as exc:
            raise InvalidInput(f"The archive is damaged or no tar: {exc}") from exc

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read one header block. Raises InvalidInput."""
        return cls._frombuf(buf, encoding, errors)

    @classmethod
    def _frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str, **options: bool) -> Self:
        """What tarfile calls for every header since Python 3.13.4 and in security fixes of older ones, instead of `frombuf`."""
        read = getattr(super(), "_frombuf", super().frombuf)
        member: Self = _read_plain(cls, buf, encoding, errors) or read(buf, encoding, errors, **options)
        if member.size < 0 or (member.type in _READ_AS_A_WHOLE and member.size > _MAX_HEADER_BYTES):
            raise InvalidInput(f"The archive has a header of {member.size} bytes")
        return member


def read_members(tar: tarfile.TarFile, plain: PlainStream) -> Iterator[tarfile.TarInfo]:
    """Yield an archive's members as they come. What is plain is read here, everything else, and the end, by tarfile."""
    while True:
        plain.begin_member()
        member = _next_plain(tar, plain)
        if member is None:
            member = tar.next()
            tar.members.clear()  # type: ignore[attr-defined]  # or it remembers every one
        if member is None:
            return
        yield member


def _next_plain(tar: tarfile.TarFile, plain: PlainStream) -> tarfile.TarInfo | None:
    """Return the next member if its header is plain, and stand behind it as tarfile would; else stand before it."""
    if tar.pax_headers or tar.firstmember is not None:  # type: ignore[attr-defined]
        return None
    position: int = tar.offset
    plain.seek(position)
    buf = plain.read(_BLOCK)
    member = _read_plain(tarfile.TarInfo, buf, "utf-8", "surrogateescape") if buf[156:157] in _WHOLE_TYPES else None
    if member is None:
        plain.seek(position)
        return None
    member.offset, member.offset_data = position, position + _BLOCK
    content = (member.size + _BLOCK - 1) // _BLOCK * _BLOCK if member.type == tarfile.REGTYPE else 0
    tar.offset = position + _BLOCK + content
    return member


def _read_plain(kind: type[_Member], buf: bytes | bytearray, encoding: str, errors: str) -> _Member | None:
    """Return the member, None when it is not as plain as most are."""
    if len(buf) != _BLOCK:
        return None
    (
        name, mode, end_mode, uid, end_uid, gid, end_gid, size, end_size, mtime, end_mtime, checksum, type_, link, magic, prefix,
    ) = _FIELDS(buf)  # fmt: skip
    if magic != b"ustar" or type_ not in _PLAIN_TYPES or prefix:
        return None
    if (end_mode | end_uid | end_gid | end_size | end_mtime) & ~0x20:
        return None  # numbers that fill their field to its end
    try:
        member = kind(name.partition(b"\0")[0].decode(encoding, errors))
        member.mode, member.uid, member.gid = int(mode, 8), int(uid, 8), int(gid, 8)
        member.size, member.mtime, member.chksum = int(size, 8), int(mtime, 8), int(checksum, 8)
    except ValueError:
        return None
    if _sum(buf) - sum(buf[148:156]) + _SPACES != member.chksum or member.size < 0:
        return None
    member.type = type_
    if link[0]:
        member.linkname = link.partition(b"\0")[0].decode(encoding, errors)
    if type_ == tarfile.DIRTYPE:
        member.name = member.name.rstrip("/")
    return member


def _sum(buf: bytes | bytearray) -> int:
    """Add up the bytes of a block: Adler-32 has such a sum in its lower half, one more, modulo what no half block comes to."""
    return (zlib.adler32(buf[:256]) & 0xFFFF) + (zlib.adler32(buf[256:]) & 0xFFFF) - 2
