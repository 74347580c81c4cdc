"""The directory that an archive is unpacked into, and which paths in it the names of the archive's members mean.

No name leads out of it: symbolic links on the way to a member are followed inside it only, as a chroot would.
Writes nothing but directories that are missing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from paas.errors import InvalidInput
from paas.oci.layer import is_whiteout

#: Linux MAXSYMLINKS, path_resolution(7).
_MAX_LINKS = 40
_NO_NAMES = ("", ".", "..")


class Destination:
    """One directory. All paths are below it, and as strings: there may be hundreds of thousands."""

    def __init__(self, root: str, lowers: Sequence[Path]) -> None:
        self._root = root
        self._lowers = tuple(str(lower) for lower in lowers)
        #: Directories known to be real ones: no part of their paths below the root is a link, or `..`.
        self.directories = {root}
        #: How many were made that no member described.
        self.implied = 0

    def forget(self, path: str) -> None:
        """Take a directory and those below it, which are going to be removed, for unknown."""
        for below, _, _ in os.walk(path):  # what is there may be much less than what is known
            self.directories.discard(below)

    def known_place(self, name: str) -> str:
        """Return the path of a plain name in a directory that is known, as most are; '' when a closer look is needed."""
        parent, _, basename = name.removeprefix("./").rpartition("/")
        directory = f"{self._root}/{parent}" if parent else self._root
        is_known = directory in self.directories and basename not in _NO_NAMES and "\0" not in basename
        return f"{directory}/{basename}" if is_known else ""

    def directory(self, parts: Sequence[str]) -> str:
        """Return the real directory of these components, making what is missing."""
        quick = "/".join((self._root, *parts))
        if quick in self.directories:
            return quick
        path = self._root
        for depth, part in enumerate(parts):
            path = self._resolve(f"{path}/{part}")
            if path in self.directories:
                continue
            if not os.path.lexists(path) or is_whiteout(os.lstat(path)):
                self._make_implied(path, "/".join(parts[: depth + 1]))
            elif not stat.S_ISDIR(os.lstat(path).st_mode):
                raise InvalidInput(f"The archive puts a file below '{'/'.join(parts[: depth + 1])}', which is none")
            self.directories.add(path)
        return path

    def _resolve(self, path: str) -> str:
        """Follow symbolic links at the end of a path whose parent is real, never out of the root."""
        base, ahead, links = os.path.dirname(path), [os.path.basename(path)], 0
        while ahead:
            part = ahead.pop(0)
            if part == "..":
                base = self._parent(base)
            elif not os.path.islink(f"{base}/{part}"):
                base = f"{base}/{part}"
            elif (links := links + 1) > _MAX_LINKS:
                raise InvalidInput("The archive has a loop of symbolic links")
            else:
                target = os.readlink(f"{base}/{part}")
                base = self._root if target.startswith("/") else base
                ahead = [p for p in target.split("/") if p not in ("", ".")] + ahead
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
        self.implied += 1
        os.chmod(path, 0o755)
        for lower in self._lowers:
            below = f"{lower}/{name}"
            if os.path.isdir(below) and not os.path.islink(below):
                found = os.stat(below)
                os.chown(path, found.st_uid, found.st_gid)
                os.chmod(path, stat.S_IMODE(found.st_mode))
                return
