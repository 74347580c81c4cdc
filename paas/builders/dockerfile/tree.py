"""A file tree seen through its layers, without mounting anything: look up, list, resolve links, match patterns.

Links never lead out of the tree, as in a chroot. Whiteouts and opaque directories are overlayfs's. One directory with
ignore rules (the build context) is the simplest such tree.

Source: kernel Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.builders.dockerfile.ignore import IgnoreRules, has_wildcards, pattern_regex

_MAX_LINKS = 40
_OPAQUE = "trusted.overlay.opaque"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or link: its path in the tree ('' is the root), where it is on disk, what it is."""

    path: str
    real: str
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self.status.st_mode)

    @property
    def link_target(self) -> str:
        """Return what a link holds, byte for byte."""
        return os.readlink(self.real)  # noqa: PTH115 - Path would normalise it


class LayeredTree:
    """Directories stacked on each other, the topmost first. What is found is remembered until `forget`."""

    def __init__(self, roots: Sequence[Path], *, ignore: IgnoreRules | None = None) -> None:
        self.roots = tuple(str(root) for root in roots)
        self.ignore = ignore or IgnoreRules()
        self._directories: dict[str, tuple[str, ...]] = {}
        self.forget()

    def forget(self, path: str | None = None) -> None:
        """Drop what was remembered about a directory that has changed, or about all."""
        if path is None:
            self._directories = {"": tuple(root for root in self.roots if Path(root).is_dir())}
        else:
            self._directories.pop(path, None)

    def find(self, path: str, *, follows: bool = True) -> Entry | None:
        """Return what is at a path, links in its directories followed, in its last part too if `follows`."""
        return self.lookup(self.resolve(path, follows=follows))

    def lookup(self, path: str) -> Entry | None:
        """Return what is at a path that holds no links."""
        if not path:
            return Entry("", self.roots[0], os.lstat(self.roots[0])) if self.roots else None
        parent, _, name = path.rpartition("/")
        for directory in self._layers_of(parent):
            real = f"{directory}/{name}"
            status = _lstat(real)
            if status is None:
                continue
            if _is_whiteout(status):
                return None
            entry = Entry(path, real, status)
            return None if self._hides(entry) else entry
        return None

    def resolve(self, path: str, *, follows: bool = True) -> str:
        """Return the path without links, `..` or `//`; what does not exist stays as written. Raises OSError (ELOOP)."""
        ahead = [part for part in path.split("/") if part][::-1]
        done: list[str] = []
        links = 0
        while ahead:
            part = ahead.pop()
            if part == ".":
                continue
            if part == "..":
                done = done[:-1]
                continue
            entry = self.lookup("/".join((*done, part)))
            if entry is None or not entry.is_link or (not ahead and not follows):
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), f"/{path}")
            target = entry.link_target
            done = [] if target.startswith("/") else done
            ahead += [part for part in target.split("/") if part][::-1]
        return "/".join(done)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the sorted names in a directory (a path that holds no links)."""
        found: dict[str, bool] = {}
        for directory in self._layers_of(path):
            with os.scandir(directory) as listing:
                for item in listing:
                    if item.name not in found:
                        found[item.name] = not _is_whiteout(os.lstat(item.path)) if _may_be_whiteout(item) else True
        return tuple(sorted(name for name, is_there in found.items() if is_there))

    def walk(self, path: str) -> Iterator[Entry]:
        """Yield everything below a directory, a directory before what is in it, sorted."""
        for name in self.names(path):
            entry = self.lookup(f"{path}/{name}" if path else name)
            if entry is None:
                continue
            yield entry
            if entry.is_directory:
                yield from self.walk(entry.path)

    def match(self, pattern: str, *, is_literal: bool = False) -> tuple[str, ...]:
        """Return the paths that a pattern of COPY means; `*` does not cross a `/`. Raises ValueError for a bad pattern.

        When `is_literal`, as for COPY --parents, no link is followed, and `**` stands for any number of directories.
        """
        if is_literal and "**" in pattern:
            regex = re.compile(pattern_regex(pattern.strip("/")), re.DOTALL)
            return tuple(entry.path for entry in self.walk("") if regex.fullmatch(entry.path))
        found = [""]
        for part in [p for p in posixpath.normpath("/" + pattern).split("/") if p]:
            if not has_wildcards(part):
                found = [f"{base}/{part}" if base else part for base in found]
                continue
            regex = re.compile(pattern_regex(part, has_double_star=False), re.DOTALL)
            found = [
                f"{base}/{name}" if base else name
                for base in (base if is_literal else self.resolve(base) for base in found)
                for name in self.names(base)
                if regex.fullmatch(name)
            ]
        return tuple(path for path in found if (self.lookup(path) if is_literal else self.find(path)) is not None)

    def read_text(self, path: str) -> str:
        """Return a file's text, '' when there is no such file."""
        entry = self.find(path)
        if entry is None or not entry.is_file:
            return ""
        return Path(entry.real).read_text(errors="replace")

    def sole_directory(self, path: str) -> Path | None:
        """Return where a directory or file is if one directory on disk holds all of it, None when layers mix."""
        entry = self.find(path)
        if entry is None or self.ignore:
            return None
        if entry.is_directory and len(self._layers_of(entry.path)) != 1:
            return None
        return Path(entry.real)

    def _layers_of(self, path: str) -> tuple[str, ...]:
        """Return the directories on disk that make up one directory of the tree, the topmost first."""
        known = self._directories.get(path)
        if known is None:
            known = self._directories[path] = tuple(self._find_layers(path))
        return known

    def _find_layers(self, path: str) -> Iterator[str]:
        parent, _, name = path.rpartition("/")
        for directory in self._layers_of(parent):
            real = f"{directory}/{name}"
            status = _lstat(real)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                return  # a file, a link or a whiteout hides what is below
            yield real
            if len(self.roots) > 1 and _is_opaque(real):
                return

    def _hides(self, entry: Entry) -> bool:
        if not self.ignore or not self.ignore.ignores(entry.path):
            return False
        if not entry.is_directory or not self.ignore.has_exceptions:
            return True
        return next(self.walk(entry.path), None) is None  # stays if a rule brings back something below it


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _may_be_whiteout(item: os.DirEntry[str]) -> bool:
    return not (item.is_file(follow_symlinks=False) or item.is_dir(follow_symlinks=False) or item.is_symlink())


def _is_opaque(directory: str) -> bool:
    try:
        return os.getxattr(directory, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
