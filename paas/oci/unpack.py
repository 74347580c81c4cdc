"""Unpack a layer tar into an overlayfs directory. Trusts nothing in it: the tar may come from anywhere and we are root.

No member's name, link or parent leads out of the directory: `..` is refused, and symbolic links on the way to a member are
followed inside it only, as a chroot would. Nothing else writes there meanwhile, so looking first and acting then is no race.

Source: OCI image-spec v1.1, layer.md, "Applying Changesets".
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, cast

from paas.errors import InvalidInput, PaasError
from paas.host.files import disk_problem, remove_tree
from paas.oci.compression import MORE_ROOM, PlainStream, open_plain
from paas.oci.destination import Destination
from paas.oci.header import Header, read_members
from paas.oci.layer import (
    OPAQUE_MARKER,
    OPAQUE_XATTR,
    RESERVED_PREFIX,
    WHITEOUT_PREFIX,
    is_whiteout,
    parse_member_name,
    whiteout_target,
    write_xattrs,
)
from paas.oci.limits import DEFAULT_LIMITS, NOTHING, Unpacked, UnpackLimits

#: Of the plain tar, for each file: its header, padding, and room for a long name.
_HEADER_BYTES = 4096
_SPARSE_CHUNK = 64 << 10
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack_layer(
    archive: Path, diff: Path, *, lowers: Sequence[Path] = (), limits: UnpackLimits = DEFAULT_LIMITS,
    before: Unpacked = NOTHING, has_whiteouts: bool = True,
) -> Unpacked:  # fmt: skip
    """Unpack a tar, plain or compressed, into `diff`; raise InvalidInput when it is malformed, malicious or too big.

    A directory that the tar implies but does not hold gets its mode and owner from the same one in `lowers` (topmost first).
    Without `has_whiteouts` names that begin with .wh. are files like others: the tar is no layer.
    """
    with open_plain(archive, limit=bytes_of_tar(limits)) as plain:
        return unpack_members(plain, Unpacker(diff, plain, lowers, limits, before, has_whiteouts))


def bytes_of_tar(limits: UnpackLimits) -> int:
    """Return how long a plain tar may be that holds so much."""
    return limits.max_bytes + limits.max_files * _HEADER_BYTES


def unpack_members(plain: PlainStream, unpacker: Unpacker, below: str = "") -> Unpacked:
    """Let the unpacker put every member in its place, below that directory. Raises InvalidInput, HostProblem."""
    try:
        # errors: file names are bytes; what is not UTF-8 goes through unchanged
        with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r:", tarinfo=Header, errors="surrogateescape") as tar:
            for member in read_members(tar, plain):
                if below and not _put_below(below, member):
                    continue
                unpacker.add(tar, member)
        unpacker.finish()
        return Unpacked(diff_id=plain.finish(), files=unpacker.files, size=unpacker.bytes)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as exc:
        raise InvalidInput(f"The archive is damaged or no tar: {exc}") from exc
    except OSError as exc:
        raise _problem(exc, Path(exc.filename) if below and exc.filename else unpacker.root) from exc


def _put_below(below: str, member: tarfile.TarInfo) -> bool:
    """Rename a member; say whether it is one: the directory itself stays as it is."""
    has_name = bool(parse_member_name(member.name))
    member.name = f"{below}/{member.name}"
    if member.islnk():
        member.linkname = f"{below}/{member.linkname}"
    return has_name


class Unpacker:
    """One tar on its way into one directory."""

    def __init__(
        self, diff: Path, plain: PlainStream, lowers: Sequence[Path], limits: UnpackLimits, before: Unpacked,
        has_whiteouts: bool, *, keeps_kinds: bool = False,
    ) -> None:  # fmt: skip
        self.root = diff
        self._destination = Destination(str(diff), lowers)
        self._keeps_kinds = keeps_kinds
        self._plain = plain
        self._limits = limits
        self._has_whiteouts = has_whiteouts
        self.bytes, self._members = before.size, before.files
        #: Their times are set last: each member put into one changes it.
        self._times: dict[str, float] = {}

    @property
    def files(self) -> int:
        """Return how many files of any kind there are, with directories that no member describes."""
        return self._members + self._destination.implied

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Put one member in its place."""
        self._count(member)
        may_be_whiteout = self._has_whiteouts and WHITEOUT_PREFIX in member.name
        if member.isreg() and not may_be_whiteout and (path := self._destination.known_place(member.name)):
            self._make_file(path, tar, member)
            return
        parts = parse_member_name(member.name)
        if not parts:
            if member.isdir():
                self._set_attributes(str(self.root), member)
            return
        if may_be_whiteout:
            if any(part.startswith(RESERVED_PREFIX) for part in parts[:-1]):
                return  # below aufs's own directories
            if (target := whiteout_target(parts[-1])) is not None:
                self._white_out(self._destination.directory(parts[:-1]), parts[-1], target)
                return
        path = f"{self._destination.directory(parts[:-1])}/{parts[-1]}"
        if member.isreg():
            self._make_file(path, tar, member)
            return
        make = self._maker(member)
        was_whiteout = self._clear(path, member)
        make(path)
        if not member.islnk():
            self._set_attributes(path, member)
        if was_whiteout and member.isdir():
            os.setxattr(path, OPAQUE_XATTR, b"y")

    def finish(self) -> None:
        """Set the directories' times, inner ones first."""
        self._bound()
        for path in sorted(self._times, key=len, reverse=True):
            if path in self._destination.directories:
                os.utime(path, (self._times[path],) * 2)

    def _count(self, member: tarfile.TarInfo) -> None:
        if member.size < 0:
            raise InvalidInput(f"The archive's member '{member.name}' has a negative size")
        self._members += 1
        self.bytes += member.size if member.isreg() else 0
        self._bound()

    def _bound(self) -> None:
        if self.files > self._limits.max_files:
            raise InvalidInput(f"The archive holds more than {self._limits.max_files} files", remedy=MORE_ROOM)
        if self.bytes > self._limits.max_bytes:
            raise InvalidInput(f"The archive unpacks to more than {self._limits.max_bytes >> 20} MiB", remedy=MORE_ROOM)

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
        if self._keeps_kinds and stat.S_ISDIR(found.st_mode) != member.isdir():
            raise InvalidInput(f"'{path}' is a directory in one place and none in the other", remedy="remove it first")
        if stat.S_ISDIR(found.st_mode):
            if member.isdir():
                return False
            self._destination.forget(path)
        remove_tree(Path(path))
        return is_whiteout(found)

    def _maker(self, member: tarfile.TarInfo) -> Callable[[str], None]:
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
        raise InvalidInput(f"The archive's member '{member.name}' is of an unknown type {member.type!r}")

    def _make_directory(self, path: str) -> None:
        if not os.path.isdir(path):
            os.mkdir(path)
        self._destination.directories.add(path)

    def _make_file(self, path: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Write a regular file. Everything is done to its descriptor, and only what differs from how it was made."""
        mode = member.mode & 0o7777
        try:
            descriptor = os.open(path, _NEW_FILE, mode & 0o777)
        except FileExistsError:
            self._clear(path, member)
            descriptor = os.open(path, _NEW_FILE, mode & 0o777)
        try:
            if member.issparse():
                self._write_sparse(descriptor, tar, member)
            elif member.size:
                self._plain.seek(member.offset_data)
                self._plain.copy_to(descriptor, member.size)
            made = os.fstat(descriptor)
            if (made.st_uid, made.st_gid) != (member.uid, member.gid):
                os.fchown(descriptor, member.uid, member.gid)
            if stat.S_IMODE(made.st_mode) != mode or mode > 0o777:
                os.fchmod(descriptor, mode)  # after chown, which clears set-user-id
            if member.pax_headers:
                write_xattrs(descriptor, member)
            os.utime(descriptor, ns=(nanoseconds := int(member.mtime * 1_000_000_000), nanoseconds))
        finally:
            os.close(descriptor)

    def _write_sparse(self, descriptor: int, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Write the parts of a file that has holes: tarfile knows the ways in which tars write them."""
        content = tar.extractfile(member)
        assert content is not None
        for chunk in iter(partial(content.read, _SPARSE_CHUNK), b""):
            self._plain.begin_member()
            if chunk.count(0) == len(chunk):
                os.lseek(descriptor, len(chunk), os.SEEK_CUR)
            else:
                _write_all(descriptor, chunk)
        os.ftruncate(descriptor, member.size)

    def _make_link(self, path: str, linkname: str) -> None:
        parts = parse_member_name(linkname)
        source = "/".join((self._destination.directory(parts[:-1]), *parts[-1:]))
        if not os.path.lexists(source) or stat.S_ISDIR(os.lstat(source).st_mode):
            raise InvalidInput(f"The archive links to '{linkname}', which is no file in it")
        os.link(source, path, follow_symlinks=False)

    def _set_attributes(self, path: str, member: tarfile.TarInfo) -> None:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
        if not member.issym():
            os.chmod(path, member.mode & 0o7777)  # after chown, which clears set-user-id
        write_xattrs(path, member)
        if member.isdir():
            self._times[path] = member.mtime
        else:
            os.utime(path, (member.mtime,) * 2, follow_symlinks=False)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _problem(exc: OSError, diff: Path) -> PaasError:
    """Tell what the archive asks for and no disk has from what this disk has run out of."""
    if exc.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EMLINK, errno.ELOOP):
        return InvalidInput(f"The archive holds what no disk can: {exc.strerror}")
    return disk_problem(exc, diff)
