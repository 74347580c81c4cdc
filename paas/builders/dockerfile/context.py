"""The build context: the files that COPY and ADD may take, and a digest of those that they take.

A digest covers names, kinds, permissions, link targets and contents, not times or owners: a fresh checkout of the same
revision is the same context.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import time
from collections.abc import Iterable
from pathlib import Path

from paas.builders.dockerfile.ignore import IgnoreRules, parse_ignore
from paas.builders.dockerfile.tree import Entry, LayeredTree
from paas.errors import InvalidFile
from paas.host.files import atomic_write

#: A file changed so shortly before may change again without a new time (git's "racy" files).
_SETTLED_NS = 2_000_000_000
#: Fewer new digests are not worth a file.
_WORTH_KEEPING = 64


def open_context(tree: Path, *, dockerfile: str = "Dockerfile") -> LayeredTree:
    """Return the tree without what .dockerignore leaves out. Raises InvalidFile for a bad pattern."""
    return LayeredTree([tree], ignore=read_ignore(tree, dockerfile=dockerfile))


def read_ignore(tree: Path, *, dockerfile: str = "Dockerfile") -> IgnoreRules:
    """Read `<Dockerfile>.dockerignore`, else `.dockerignore`. Raises InvalidFile."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        entry = LayeredTree([tree]).find(name)
        if entry is None or not entry.is_file:
            continue
        lines = Path(entry.real).read_text(errors="replace").splitlines()
        try:
            return parse_ignore(lines)
        except ValueError:
            number, text, problem = _first_bad(lines)
            raise InvalidFile(name, number, problem, text=text) from None
    return IgnoreRules()


def _first_bad(lines: list[str]) -> tuple[int, str, str]:
    for number, line in enumerate(lines, start=1):
        try:
            parse_ignore([line])
        except ValueError as exc:
            return number, line, str(exc)
    return 0, "", "is malformed"


class FileDigests:
    """Digests of file contents; those of files that did not change are remembered in `file` between builds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, str] | None = None
        self._used: dict[str, str] = {}
        self._fresh = 0

    def of(self, entry: Entry) -> str:
        """Return the sha256 of a regular file's content."""
        status = entry.status
        key = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
        if self._known is None:
            self._known = _load(self._file)
        digest = self._known.get(key)
        if digest is None:
            with open(entry.real, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if time.time_ns() - status.st_ctime_ns < _SETTLED_NS:
                return digest
            self._fresh += 1
        self._used[key] = digest
        return digest

    def save(self) -> None:
        """Remember the digests used since it was made."""
        if self._fresh >= _WORTH_KEEPING:
            atomic_write(self._file, json.dumps(self._used), mode=0o600)
            self._fresh = 0


def digest_entries(tree: LayeredTree, tops: Iterable[Entry], digests: FileDigests, *, excludes: IgnoreRules) -> str:
    """Return one digest of files and directories of a tree, links to them followed, and all that is in them."""
    hasher = hashlib.sha256()
    for top in tops:
        hasher.update(_line(posixpath.basename(top.path), top, digests))
        base = len(top.path) + 1 if top.path else 0
        for entry in tree.walk(top.path) if top.is_directory else ():
            if not excludes or not excludes.ignores(entry.path[base:]):
                hasher.update(_line(entry.path[base:], entry, digests))
    return hasher.hexdigest()


def _line(name: str, entry: Entry, digests: FileDigests) -> bytes:
    if entry.is_link:
        content = entry.link_target
    elif entry.is_file:
        content = digests.of(entry)
    else:
        content = ""
    return f"{name}\0{entry.status.st_mode:o}\0{content}\0".encode(errors="surrogateescape")


def _load(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
