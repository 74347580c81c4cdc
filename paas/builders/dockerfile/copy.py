"""COPY and ADD: which files go where, with which owner and permissions. Writes only through the LayerWriter.

Source: Dockerfile reference ("COPY", "ADD"); BuildKit's solver/llbsolver/file for what the reference leaves open.
"""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from paas.builders.dockerfile.ignore import IgnoreRules, has_wildcards
from paas.builders.dockerfile.instructions import Copy
from paas.builders.dockerfile.tree import Entry, LayeredTree
from paas.builders.dockerfile.unpack import is_archive, unpack_archive
from paas.builders.dockerfile.writer import Attributes, LayerWriter

_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)\Z")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


class CopyError(ValueError):
    """What COPY was asked to do is not possible; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOrder:
    """A resolved COPY or ADD: the sources found, where they go.

    `owner` is None to keep the sources' own (COPY --from without --chown). `downloads` are entries that ADD fetched, which
    it does not unpack unless asked to. `is_immutable` says that the sources never change: they may be linked to.
    """

    copy: Copy
    tree: LayeredTree
    entries: tuple[Entry, ...]
    destination: str
    owner: tuple[int, int] | None
    excludes: IgnoreRules = IgnoreRules()
    downloads: tuple[Entry, ...] = ()
    is_immutable: bool = False

    @property
    def is_into_directory(self) -> bool:
        """Say whether the destination must be a directory whatever is there."""
        return len(self.entries) + len(self.copy.heredocs) > 1 or self.destination.endswith("/")


def find_sources(copy: Copy, tree: LayeredTree) -> tuple[Entry, ...]:
    """Return what the sources of a COPY are, links followed. Raises CopyError for one that is not there."""
    found: list[Entry] = []
    for source in copy.sources:
        inside = posixpath.normpath("/" + source)
        if has_wildcards(source):
            try:
                paths = tree.match(inside)
            except ValueError as exc:
                raise CopyError(str(exc)) from exc
        else:
            paths = (inside,)
        for path in paths:
            entry = tree.find(path)
            if entry is None:
                raise CopyError(f'"{inside}": not found')
            # Known by the name that was asked for, not by the one a link leads to.
            found.append(replace_path(entry, path.strip("/")) if not entry.is_directory else entry)
    return tuple(found)


def replace_path(entry: Entry, path: str) -> Entry:
    """Return the same entry under another path."""
    return Entry(path, entry.real, entry.status)


def destination_path(workdir: str, destination: str) -> str:
    """Return the absolute destination; it ends with `/` when it is written as a directory."""
    is_directory = destination.endswith(("/", "/.")) or destination in ("", ".", "..")
    path = posixpath.normpath(posixpath.join("/", workdir, destination)).lstrip("/")
    return f"/{path}/" if is_directory and path else f"/{path}" if path else "/"


def perform_copy(order: CopyOrder, writer: LayerWriter) -> None:
    """Write the sources into the layer. Raises CopyError."""
    copy = order.copy
    if len(copy.sources) + len(copy.heredocs) > 1 and not order.destination.endswith("/"):
        raise CopyError(f"when using {'ADD' if copy.is_add else 'COPY'} with more than one source file, the destination "
                        "must be a directory and end with a /")
    try:
        for heredoc in copy.heredocs:
            content = io.BytesIO(heredoc.content.encode())
            attributes = _attributes(order, None, default_mode=0o644)
            writer.file(_file_target(order, writer, heredoc.name), content, attributes)
        for entry, source in zip(order.entries, _pivots(order), strict=True):
            _copy_entry(order, writer, entry, source)
        writer.finish()
    except (NotADirectoryError, IsADirectoryError, FileNotFoundError) as exc:
        raise CopyError(str(exc)) from exc


def parse_mode(text: str, current: int, *, is_directory: bool = False) -> int:
    """Return the permissions after `--chmod`: octal, or symbolic as of chmod(1). Raises CopyError."""
    if re.fullmatch(r"[0-7]{1,5}", text):
        return int(text, 8) & 0o7777
    mode = current
    for clause in text.split(","):
        match = _SYMBOLIC.match(clause)
        if match is None:
            raise CopyError(f"invalid chmod parameter: '{text}'. it should be octal, or like u=rwX,go=rX")
        mode = _symbolic(mode, match[1] or "a", match[2], match[3], is_directory=is_directory)
    return mode


def _symbolic(mode: int, who: str, operator: str, letters: str, *, is_directory: bool) -> int:
    runs = is_directory or bool(mode & 0o111)
    bits = sum({_BITS[x] for x in letters if x in _BITS} | ({1} if "X" in letters and runs else set()))
    for person in "ugo" if "a" in who else who:
        shift = _SHIFTS[person]
        special = {"u": 0o4000, "g": 0o2000, "o": 0}[person] if "s" in letters else 0
        wanted = bits << shift | special
        if operator == "=":
            mode &= ~(7 << shift)
        mode = mode & ~wanted if operator == "-" else mode | wanted
    sticky = 0o1000 if "t" in letters else 0
    return mode & ~sticky if operator == "-" else mode | sticky


def _copy_entry(order: CopyOrder, writer: LayerWriter, entry: Entry, source: str) -> None:
    copy = order.copy
    if copy.keeps_parents:
        target = posixpath.join(order.destination, source)
        if entry.is_directory:
            _copy_directory(order, writer, entry, target)
        else:
            writer.copy(entry, target.strip("/"), _attributes(order, entry), links=order.is_immutable)
    elif entry.is_directory:
        _copy_directory(order, writer, entry, order.destination)
    elif _unpacks(order, entry):
        writer.directory(order.destination, _new_directory(order))
        unpack_archive(entry.real, order.destination.strip("/"), writer, owner=order.owner if copy.chown else None)
    else:
        target = _file_target(order, writer, posixpath.basename(entry.path))
        writer.copy(entry, target, _attributes(order, entry), links=order.is_immutable)


def _unpacks(order: CopyOrder, entry: Entry) -> bool:
    wanted = order.copy.unpacks
    if wanted is None:
        wanted = order.copy.is_add and entry not in order.downloads
    return wanted and is_archive(entry.real)


def _copy_directory(order: CopyOrder, writer: LayerWriter, top: Entry, destination: str) -> None:
    # A directory made only because it was asked for with a `/`, and the context itself, have no permissions to take over.
    plain = destination.endswith("/") or not top.path
    writer.directory(destination, _new_directory(order) if plain else _attributes(order, top))
    base = len(top.path) + 1 if top.path else 0
    for entry in order.tree.walk(top.path):
        inside = entry.path[base:]
        if order.excludes and order.excludes.ignores(inside):
            continue
        target = posixpath.join(destination, inside).strip("/")
        if entry.is_directory:
            writer.directory(target, _attributes(order, entry))
        else:
            writer.copy(entry, target, _attributes(order, entry), links=order.is_immutable)


def _file_target(order: CopyOrder, writer: LayerWriter, name: str) -> str:
    if order.is_into_directory or writer.exists_as_directory(order.destination):
        directory = writer.directory(order.destination, _new_directory(order))
        return posixpath.join(directory, name)
    return order.destination.strip("/")


def _new_directory(order: CopyOrder) -> Attributes:
    uid, gid = order.owner or (0, 0)
    mode = parse_mode(order.copy.chmod, 0o755, is_directory=True) if order.copy.chmod else 0o755
    return Attributes(mode=mode, uid=uid, gid=gid)


def _attributes(order: CopyOrder, entry: Entry | None, *, default_mode: int = 0o755) -> Attributes:
    mode = entry.mode if entry is not None else default_mode
    if order.copy.chmod:
        mode = parse_mode(order.copy.chmod, mode, is_directory=entry is not None and entry.is_directory)
    attributes = Attributes(mode=mode, mtime_ns=entry.status.st_mtime_ns if entry is not None else None)
    if order.owner is not None:
        return replace(attributes, uid=order.owner[0], gid=order.owner[1])
    if entry is None:
        return attributes
    return replace(attributes, uid=entry.status.st_uid, gid=entry.status.st_gid)


def _pivots(order: CopyOrder) -> Sequence[str]:
    """Return for each entry the path that `--parents` keeps: all of it, or what follows `/./` in the source."""
    pivots = [source.split("/./", 1)[0] for source in order.copy.sources if "/./" in source]
    kept = []
    for entry in order.entries:
        cut = next((p for p in (posixpath.normpath("/" + p).strip("/") for p in pivots) if entry.path.startswith(f"{p}/")), "")
        kept.append(entry.path[len(cut) :].strip("/"))
    return kept
