"""Tar headers, read quicker than tarfile does where they are plain, and never taken for the end when they are damaged.

Everything that is not plain (numbers in base 256, sparse files, prefixes, signed check sums) is tarfile's work as before.

Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

import tarfile
from typing import Self, TypeVar

from paas.errors import InvalidInput

_Member = TypeVar("_Member", bound=tarfile.TarInfo)
_BLOCK = 512
_PLAIN_TYPES = frozenset({b"0", b"1", b"2", b"5", b"L", b"K", b"x", b"g"})
#: tarfile reads these headers into memory as a whole.
_READ_AS_A_WHOLE = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_MAX_HEADER_BYTES = 1 << 20
#: The check sum is computed as if its own eight bytes were spaces.
_SPACES = 8 * 0x20


class Header(tarfile.TarInfo):
    """A member of an archive that anybody may have written."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read one header block. Raises InvalidInput where tarfile would take a damaged one for the end."""
        try:
            member = _read_plain(cls, buf, encoding, errors) or super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as exc:  # type: ignore[attr-defined]
            raise InvalidInput(f"The archive is damaged or no tar: {exc}") from exc
        if member.size < 0 or (member.type in _READ_AS_A_WHOLE and member.size > _MAX_HEADER_BYTES):
            raise InvalidInput(f"The archive has a header of {member.size} bytes")
        return member


def _read_plain(kind: type[_Member], buf: bytes | bytearray, encoding: str, errors: str) -> _Member | None:
    """Return the member, None when it is not as plain as most are."""
    if len(buf) != _BLOCK or buf[257:262] != b"ustar" or buf[156:157] not in _PLAIN_TYPES or buf[345]:
        return None
    try:
        checksum, mode, uid, gid, size, mtime = (
            int(buf[begin:end].strip(b" \0") or b"0", 8)
            for begin, end in ((148, 156), (100, 108), (108, 116), (116, 124), (124, 136), (136, 148))
        )
    except ValueError:
        return None
    if sum(buf) - sum(buf[148:156]) + _SPACES != checksum:
        return None
    member = kind(buf[:100].partition(b"\0")[0].decode(encoding, errors))
    member.type = bytes(buf[156:157])
    member.mode, member.uid, member.gid, member.size, member.mtime, member.chksum = mode, uid, gid, size, mtime, checksum
    member.linkname = buf[157:257].partition(b"\0")[0].decode(encoding, errors)
    if member.type == tarfile.DIRTYPE:
        member.name = member.name.rstrip("/")
    return member
