"""Unpack a layer tar into an overlayfs directory. Trusts nothing in it: the tar may come from anywhere and we are root.

No member's name, link or parent leads out of the directory: `..` is refused, and symbolic links on the way to a member are
followed inside it only, as a chroot would. Nothing else writes there meanwhile, so looking first and acting then is no race.

Source: OCI image-spec v1.1, layer.md, "Applying Changesets".
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

from paas.errors import InvalidInput
from paas.host.files import disk_problem, remove_tree
from paas.oci.layer import (
    OPAQUE_MARKER,
    OPAQUE_XATTR,
    PAX_XATTR,
    RESERVED_PREFIX,
    is_portable_xattr,
    is_whiteout,
    parse_member_name,
    whiteout_target,
)

_CHUNK = 1 << 20
#: Linux MAXSYMLINKS, path_resolution(7).
_MAX_LINKS = 40
#: tarfile reads these headers into memory as a whole.
_HEADER_TYPES = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """What one tar may make of itself on our disk."""

    max_bytes: int = 64 << 30
    max_files: int = 4_000_000


DEFAULT_LIMITS = UnpackLimits()


def unpack_layer(
    stream: IO[bytes], diff: Path, *, lowers: Sequence[Path] = (), limits: UnpackLimits = DEFAULT_LIMITS,
    has_whiteouts: bool = True,
) -> None:  # fmt: skip
    """Unpack a tar (plain, gzip, bzip2 or xz) into `diff`; raise InvalidInput when it is malformed, malicious or too big.

    A directory that the tar implies but does not hold gets its mode and owner from the same one in `lowers` (topmost first).
    Without `has_whiteouts` names that begin with .wh. are files like others: the tar is no layer.
    """
    unpacker = _Unpacker(diff, lowers, limits, has_whiteouts)
    try:
        # errors: file names are bytes; what is not UTF-8 goes through unchanged
        with tarfile.open(fileobj=stream, mode="r|*", tarinfo=BoundedTarInfo, errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                unpacker.add(tar, member)
                tar.members.clear()  # type: ignore[attr-defined]  # or it remembers every one
        unpacker.finish()
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as exc:
        raise InvalidInput(f"The archive is damaged or no tar: {exc}") from exc
    except OSError as exc:
        raise disk_problem(exc, diff) from exc


class BoundedTarInfo(tarfile.TarInfo):
    """A member whose headers are of a size that fits in memory. Raises InvalidInput."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0 or (member.type in _HEADER_TYPES and member.size > _MAX_HEADER_BYTES):
            raise InvalidInput(f"The archive has a header of {member.size} bytes")
        return member


class _Unpacker:
    """One tar on its way into one directory. All paths are below `_root`."""

    def __init__(self, diff: Path, lowers: Sequence[Path], limits: UnpackLimits, has_whiteouts: bool) -> None:
        self._root = str(diff)
        self._lowers = tuple(str(lower) for lower in lowers)
        self._limits = limits
        self._has_whiteouts = has_whiteouts
        self._bytes = self._files = 0
        #: Directories known to be real ones below the root.
        self._directories = {self._root}
        #: Their times are set last: each member put into one changes it.
        self._times: dict[str, float] = {}

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Put one member in its place."""
        self._count(member)
        parts = parse_member_name(member.name)
        if not parts:
            if member.isdir():
                self._set_attributes(self._root, member)
            return
        if self._has_whiteouts and any(part.startswith(RESERVED_PREFIX) for part in parts[:-1]):
            return  # below aufs's own directories
        parent = self._directory(parts[:-1])
        if self._has_whiteouts and (target := whiteout_target(parts[-1])) is not None:
            self._white_out(parent, parts[-1], target)
            return
        path = f"{parent}/{parts[-1]}"
        make = self._maker(tar, member)
        was_whiteout = self._clear(path, member)
        make(path)
        if not member.islnk():
            self._set_attributes(path, member)
        if was_whiteout and member.isdir():
            os.setxattr(path, OPAQUE_XATTR, b"y")

    def finish(self) -> None:
        """Set the directories' times, inner ones first."""
        for path in sorted(self._times, key=len, reverse=True):
            if path in self._directories:
                os.utime(path, (self._times[path],) * 2)

    def _count(self, member: tarfile.TarInfo) -> None:
        if member.size < 0:
            raise InvalidInput(f"The archive's member '{member.name}' has a negative size")
        self._files += 1
        self._bytes += member.size if member.isreg() else 0
        if self._files > self._limits.max_files:
            raise InvalidInput(f"The archive holds more than {self._limits.max_files} files")
        if self._bytes > self._limits.max_bytes:
            raise InvalidInput(f"The archive unpacks to more than {self._limits.max_bytes >> 20} MiB")

    def _directory(self, parts: Sequence[str]) -> str:
        """Return the real directory of these components, making what is missing."""
        quick = "/".join((self._root, *parts))
        if quick in self._directories:
            return quick
        path = self._root
        for depth, part in enumerate(parts):
            path = self._resolve(f"{path}/{part}")
            if path in self._directories:
                continue
            if not os.path.lexists(path) or is_whiteout(os.lstat(path)):
                self._make_implied(path, "/".join(parts[: depth + 1]))
            elif not stat.S_ISDIR(os.lstat(path).st_mode):
                raise InvalidInput(f"The archive puts a file below '{'/'.join(parts[: depth + 1])}', which is none")
            self._directories.add(path)
        return path

    def _resolve(self, path: str) -> str:
        """Follow symbolic links at the end of a path whose parent is real, never out of the root."""
        base, todo, links = os.path.dirname(path), [os.path.basename(path)], 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                base = self._parent(base)
            elif not os.path.islink(f"{base}/{part}"):
                base = f"{base}/{part}"
            elif (links := links + 1) > _MAX_LINKS:
                raise InvalidInput("The archive has a loop of symbolic links")
            else:
                target = os.readlink(f"{base}/{part}")
                base = self._root if target.startswith("/") else base
                todo = [p for p in target.split("/") if p not in ("", ".")] + todo
        return base

    def _parent(self, path: str) -> str:
        return path if path == self._root else os.path.dirname(path)

    def _make_implied(self, path: str, name: str) -> None:
        if os.path.lexists(path):
            os.unlink(path)  # a whiteout of what was there below
        try:
            os.mkdir(path)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise InvalidInput(f"The archive puts a file into '{name}', which leads nowhere") from exc
        os.chmod(path, 0o755)
        for lower in self._lowers:
            below = f"{lower}/{name}"
            if os.path.isdir(below) and not os.path.islink(below):
                found = os.stat(below)
                os.chown(path, found.st_uid, found.st_gid)
                os.chmod(path, stat.S_IMODE(found.st_mode))
                return

    def _white_out(self, parent: str, basename: str, target: str) -> None:
        """Hide what the layers below have; never what this layer has, in whichever order they come."""
        if basename == OPAQUE_MARKER:
            os.setxattr(parent, OPAQUE_XATTR, b"y")
        if not target:
            return
        path = f"{parent}/{target}"
        if not os.path.lexists(path):
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        elif stat.S_ISDIR(os.lstat(path).st_mode):
            os.setxattr(path, OPAQUE_XATTR, b"y")

    def _clear(self, path: str, member: tarfile.TarInfo) -> bool:
        """Make room for a member: only a directory may be there, for a directory. Return whether a whiteout was."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return False
        if stat.S_ISDIR(found.st_mode):
            if member.isdir():
                return False
            self._directories = {d for d in self._directories if d != path and not d.startswith(path + "/")}
        remove_tree(Path(path))
        return is_whiteout(found)

    def _maker(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[str], None]:
        if member.isdir():
            return self._make_directory
        if member.issym():
            return lambda path: os.symlink(member.linkname, path)
        if member.islnk():
            return lambda path: self._make_link(path, member.linkname)
        if member.isfifo():
            return os.mkfifo
        if member.ischr() or member.isblk():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            return lambda path: os.mknod(path, kind, os.makedev(member.devmajor, member.devminor))
        if member.isreg():
            return lambda path: _write_file(path, cast(BinaryIO, tar.extractfile(member)))
        raise InvalidInput(f"The archive's member '{member.name}' is of an unknown type {member.type!r}")

    def _make_directory(self, path: str) -> None:
        if not os.path.isdir(path):
            os.mkdir(path)
        self._directories.add(path)

    def _make_link(self, path: str, linkname: str) -> None:
        parts = parse_member_name(linkname)
        source = "/".join((self._directory(parts[:-1]), *parts[-1:]))
        if not os.path.lexists(source) or stat.S_ISDIR(os.lstat(source).st_mode):
            raise InvalidInput(f"The archive links to '{linkname}', which is no file in it")
        os.link(source, path, follow_symlinks=False)

    def _set_attributes(self, path: str, member: tarfile.TarInfo) -> None:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
        if not member.issym():
            os.chmod(path, member.mode & 0o7777)  # after chown, which clears set-user-id
        for key, value in member.pax_headers.items():
            name = key.removeprefix(PAX_XATTR)
            if name != key and is_portable_xattr(name):
                os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
        if member.isdir():
            self._times[path] = member.mtime
        else:
            os.utime(path, (member.mtime,) * 2, follow_symlinks=False)


def _write_file(path: str, content: BinaryIO) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)
