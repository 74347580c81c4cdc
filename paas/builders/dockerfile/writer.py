"""Write files into a new layer as if into the whole root: directories that lie in lower layers keep their attributes.

Every path is resolved inside the root, so a link in an image or an archive never leads to a file of the host.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from paas.builders.dockerfile.contents import copy_attributes, copy_bytes, is_device, write_stream
from paas.builders.dockerfile.tree import Entry, LayeredTree
from paas.host.files import remove_tree
from paas.oci.layer import OPAQUE_XATTR, WHITEOUT_PREFIX, is_whiteout


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Owner, permissions, modification time (None is now) and extended attributes of something to be written."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    extended: tuple[tuple[str, bytes], ...] = ()


def attributes_of(entry: Entry) -> Attributes:
    """Return the attributes that something has."""
    status = entry.status
    return Attributes(mode=entry.mode, uid=status.st_uid, gid=status.st_gid, mtime_ns=status.st_mtime_ns)


class LayerWriter:
    """Writes below `diff`; `below` are the directories of the lower layers, the topmost first."""

    def __init__(self, diff: Path, below: Sequence[Path]) -> None:
        self.diff = diff
        self.tree = LayeredTree((diff, *below))
        self._present: set[str] = {""}
        self._times: dict[str, int] = {}
        #: Where a file with several names was written first.
        self._first_names: dict[tuple[int, int], tuple[Path, int]] = {}
        for root in below[:1]:
            self._take_over(Entry("", str(root), root.lstat()), diff)

    def directory(self, path: str, attributes: Attributes | None = None, *, overwrites: bool = False) -> str:
        """Make sure that a directory is there, with its parents; return its path without links.

        A new one gets `attributes` (default root's, 0755), one that exists keeps its own unless `overwrites`.
        Raises NotADirectoryError.
        """
        real = self.tree.resolve(path)
        if real in self._present:
            if overwrites and attributes is not None:
                self._stamp(self.diff / real, attributes, real)
            return real
        attributes = attributes or Attributes(mode=0o755)
        parent = posixpath.dirname(real)
        if parent not in self._present:
            self.directory(parent, Attributes(mode=0o755, uid=attributes.uid, gid=attributes.gid))
        entry = self.tree.lookup(real)
        if entry is not None and not entry.is_directory:
            raise NotADirectoryError(f"cannot copy to non-directory: /{real}")
        target = self.diff / real
        _check_name(real)
        if entry is None:
            was_hidden = _unhide(target)
            target.mkdir()
            self._stamp(target, attributes, real)
            if was_hidden:
                os.setxattr(target, OPAQUE_XATTR, b"y")
        elif entry.real != str(target):
            target.mkdir()
            self._take_over(entry, target)
            if overwrites:
                self._stamp(target, attributes, real)
        self._present.add(real)
        self.tree.forget(real)
        return real

    def exists_as_directory(self, path: str) -> bool:
        """Say whether a path is a directory, or a link to one, in the root so far."""
        entry = self.tree.find(path)
        return entry is not None and entry.is_directory

    def set_directory_time(self, real: str, mtime_ns: int) -> None:
        """Give a directory of the layer this time once everything is written."""
        self._times[real] = mtime_ns

    def forget_names(self) -> None:
        """Take the next names of a file already written for another file."""
        self._first_names.clear()

    def clear(self, path: str, *, keeps_directory: bool) -> None:
        """Take away what is at a path, as tar does for the member that it writes there; a directory may stay."""
        where = self._resolved(path)
        entry = self.tree.lookup(where)
        if entry is None or (keeps_directory and entry.is_directory):
            return
        if entry.real == str(self.diff / where):
            remove_tree(self.diff / where)
            gone = {known for known in self._present if known == where or known.startswith(f"{where}/")}
            self._present -= gone
            self._times = {known: mtime_ns for known, mtime_ns in self._times.items() if known not in gone}
        self.tree.forget()
        if self.tree.lookup(where) is not None:
            self.directory(posixpath.dirname(where))
            os.mknod(self.diff / where, stat.S_IFCHR, os.makedev(0, 0))
            self.tree.forget()

    def file(self, path: str, source: str | IO[bytes], attributes: Attributes) -> None:
        """Write a file (a path on disk or a stream) at a path; what was there is replaced unless it is a directory."""
        target = self._place(path, attributes)
        if isinstance(source, str):
            copy_bytes(source, target)
        else:
            write_stream(source, target)
        self._stamp(target, attributes)

    def link(self, path: str, content: str, attributes: Attributes) -> None:
        """Make a symbolic link at a path."""
        target = self._place(path, attributes)
        target.symlink_to(content)
        os.chown(target, attributes.uid, attributes.gid, follow_symlinks=False)
        if attributes.mtime_ns is not None:
            os.utime(target, ns=(attributes.mtime_ns,) * 2, follow_symlinks=False)
        self.tree.forget()

    def hard_link(self, path: str, existing: str, attributes: Attributes) -> None:
        """Give a file of the root a second name; one from a lower layer is copied."""
        entry = self.tree.find(existing, follows=False)
        if entry is None or entry.is_directory:
            raise FileNotFoundError(f"link target not found: /{existing}")
        if entry.real.startswith(f"{self.diff}/"):
            os.link(entry.real, self._place(path, attributes), follow_symlinks=False)
        else:
            self.copy(entry, path, attributes)

    def pipe(self, path: str, attributes: Attributes) -> None:
        """Make a named pipe at a path."""
        target = self._place(path, attributes)
        os.mkfifo(target)
        self._stamp(target, attributes)

    def device(self, path: str, kind: int, number: int, attributes: Attributes) -> None:
        """Make a device file (`kind` is S_IFCHR or S_IFBLK) at a path; containers may open the harmless ones only."""
        target = self._place(path, attributes)
        os.mknod(target, kind | 0o600, number)
        self._stamp(target, attributes)

    def copy(self, entry: Entry, path: str, attributes: Attributes, *, links: bool = False) -> None:
        """Copy what an entry is, but no directory, to a path; sockets are left out. Names of one file stay names of one.

        With `links` a file that stays as it is becomes another name of the same file: both are for reading only.
        """
        status = entry.status
        if entry.is_link:
            self.link(path, entry.link_target, attributes)
        elif entry.is_file:
            if links and attributes == attributes_of(entry) and self._linked(entry.real, path, attributes):
                return
            first = self._first_name(status)
            if first is not None and self._linked(str(first), path, attributes):
                return
            self.file(path, entry.real, attributes)
            written = self.diff / self._resolved(path)
            copy_attributes(entry.real, written)
            if status.st_nlink > 1:
                self._first_names[status.st_dev, status.st_ino] = (written, written.lstat().st_ino)
        elif stat.S_ISFIFO(status.st_mode):
            self.pipe(path, attributes)
        elif is_device(status):
            self.device(path, stat.S_IFMT(status.st_mode), status.st_rdev, attributes)

    def _first_name(self, status: os.stat_result) -> Path | None:
        """Return where the same file of the source was written, if it is still there."""
        if status.st_nlink == 1:
            return None
        path, number = self._first_names.get((status.st_dev, status.st_ino), (self.diff, 0))
        with contextlib.suppress(FileNotFoundError):
            return path if path.lstat().st_ino == number else None
        return None

    def _linked(self, existing: str, path: str, attributes: Attributes) -> bool:
        try:
            os.link(existing, self._place(path, attributes), follow_symlinks=False)
        except OSError as exc:
            if exc.errno in (errno.EMLINK, errno.EXDEV):
                return False
            raise
        return True

    def finish(self) -> None:
        """Set the times of directories that were changed by what was put into them."""
        for real, mtime_ns in self._times.items():
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.diff / real, ns=(mtime_ns, mtime_ns))

    def _place(self, path: str, attributes: Attributes) -> Path:
        """Return where to write in the diff; the parent is there and the name is free."""
        parent, name = posixpath.split(path.rstrip("/"))
        if name in ("", ".", ".."):
            raise IsADirectoryError(f"cannot overwrite directory with non-directory: /{path}")
        real = self.directory(parent, Attributes(mode=0o755, uid=attributes.uid, gid=attributes.gid))
        where = f"{real}/{name}" if real else name
        _check_name(where)
        entry = self.tree.lookup(where)
        if entry is not None and entry.is_directory:
            raise IsADirectoryError(f"cannot overwrite directory with non-directory: /{where}")
        target = self.diff / where
        if entry is not None and entry.real == str(target):
            target.unlink()
            if entry.is_link:
                self.tree.forget()
        elif entry is None:
            _unhide(target)
        return target

    def _resolved(self, path: str) -> str:
        parent, name = posixpath.split(path.rstrip("/"))
        return posixpath.join(self.tree.resolve(parent), name)

    def _stamp(self, target: Path, attributes: Attributes, directory: str | None = None) -> None:
        os.chown(target, attributes.uid, attributes.gid)
        target.chmod(attributes.mode)  # after chown, which clears setuid and capabilities
        for name, value in attributes.extended:
            os.setxattr(target, name, value, follow_symlinks=False)
        if attributes.mtime_ns is None:
            return
        if directory is None:
            os.utime(target, ns=(attributes.mtime_ns,) * 2)
        else:
            self._times[directory] = attributes.mtime_ns

    def _take_over(self, entry: Entry, target: Path) -> None:
        """Give a directory the attributes it has in the lower layers, as overlayfs does when it copies one up."""
        status = entry.status
        os.chown(target, status.st_uid, status.st_gid)
        target.chmod(stat.S_IMODE(status.st_mode))
        for name, value in _extended(entry.real):
            os.setxattr(target, name, value)


def _check_name(path: str) -> None:
    if posixpath.basename(path).startswith(WHITEOUT_PREFIX):
        raise ValueError(f"/{path} cannot be in an image: names that begin with {WHITEOUT_PREFIX} mean deletions there")


def _unhide(target: Path) -> bool:
    """Remove a whiteout that `clear` made; return whether there was one."""
    if not (os.path.lexists(target) and is_whiteout(target.lstat())):
        return False
    target.unlink()
    return True


def _extended(directory: str) -> Iterator[tuple[str, bytes]]:
    for name in os.listxattr(directory):
        if not name.startswith("trusted.overlay."):
            yield name, os.getxattr(directory, name)
