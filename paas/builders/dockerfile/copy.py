"""COPY and ADD: which files go where, with which owner and permissions. Writes only through the LayerWriter.

Source: Dockerfile reference ("COPY", "ADD"); BuildKit's solver/llbsolver/file for what the reference leaves open.
"""

from __future__ import annotations

import io
import posixpath
import re
from dataclasses import dataclass, replace

from paas.builders.dockerfile.ignore import IgnoreRules, has_wildcards
from paas.builders.dockerfile.instructions import Copy
from paas.builders.dockerfile.tree import Entry, LayeredTree
from paas.builders.dockerfile.unpack import ArchiveError, is_archive, unpack_archive
from paas.builders.dockerfile.writer import Attributes, LayerWriter

_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)\Z")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


class CopyError(ValueError):
    """What COPY was asked to do is not possible; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing to be copied: where it is, and the path that `--parents` keeps of it.

    `is_named` says that no pattern found it, `is_remote` that ADD fetched it, which it does not unpack unless asked to.
    """

    tree: LayeredTree
    entry: Entry
    kept: str = ""
    is_named: bool = False
    is_remote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOrder:
    """A resolved COPY or ADD: the sources found, where they go.

    `owner` is None to keep the sources' own (COPY --from without --chown). `is_immutable` says that the sources never
    change: they may be linked to.
    """

    copy: Copy
    sources: tuple[Source, ...]
    destination: str
    owner: tuple[int, int] | None
    excludes: IgnoreRules = IgnoreRules()
    is_immutable: bool = False


def find_sources(copy: Copy, tree: LayeredTree) -> tuple[Source, ...]:
    """Return what the sources of a COPY are, links followed. Raises CopyError for one that is not there."""
    return tuple(found for source in copy.sources for found in find_source(source, tree, keeps_parents=copy.keeps_parents))


def find_source(source: str, tree: LayeredTree, *, keeps_parents: bool = False) -> tuple[Source, ...]:
    """Return what one source means: one thing, or what a pattern matches. Raises CopyError when it is not there."""
    inside = "/" + posixpath.normpath("/" + source).lstrip("/")  # two slashes would stay two
    is_named = False
    if has_wildcards(source):
        try:
            paths = tree.match(inside, is_literal=keeps_parents)
        except ValueError as exc:
            raise CopyError(str(exc)) from exc
    else:
        paths, is_named = (inside,), True
    pivot = posixpath.normpath("/" + source.split("/./", 1)[0]).strip("/") if "/./" in source else ""
    found = []
    for path in paths:
        entry = tree.lookup(path.strip("/")) if keeps_parents else _find(tree, path)
        if entry is None:
            raise CopyError(f'"{inside}": not found')
        # Known by the name that was asked for, not by the one a link leads to.
        named = entry if entry.is_directory else replace_path(entry, path.strip("/"))
        kept = path.strip("/")
        kept = kept[len(pivot) :].strip("/") if kept.startswith(f"{pivot}/") else kept
        found.append(Source(tree=tree, entry=named, kept=kept, is_named=is_named))
    return tuple(found)


def _find(tree: LayeredTree, path: str) -> Entry | None:
    try:
        return tree.find(path)
    except OSError as exc:  # a loop of links
        raise CopyError(f'"{path}": {exc.strerror}') from exc


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
    taken: set[str] = set()
    try:
        if order.copy.keeps_parents:
            _make_destination(order, writer, order.destination)
        for source in order.sources:
            _copy_source(order, writer, source, taken)
        for heredoc in order.copy.heredocs:
            content = io.BytesIO(heredoc.content.encode())
            attributes = _attributes(order, None, default_mode=0o644)
            writer.file(_file_target(order, writer, heredoc.name, taken), content, attributes)
        writer.finish()
    except (NotADirectoryError, IsADirectoryError, FileNotFoundError, ArchiveError) as exc:
        raise CopyError(str(exc)) from exc


def parse_mode(text: str, current: int, *, is_directory: bool = False) -> int:
    """Return the permissions after `--chmod`: octal, or symbolic as of chmod(1). Raises CopyError."""
    if text.isdecimal():
        if not re.fullmatch(r"0*[0-7]{1,4}", text):
            raise CopyError(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
        return int(text, 8)
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


def _copy_source(order: CopyOrder, writer: LayerWriter, source: Source, taken: set[str]) -> None:
    entry = source.entry
    if _is_excluded(order, source):
        if order.copy.keeps_parents and source.is_named:
            raise CopyError(f'"/{entry.path}": not found, as --exclude leaves it out')
        return
    writer.forget_names()  # names of one file stay names of one below one source, not across several
    if order.copy.keeps_parents:
        target = posixpath.join(order.destination, source.kept)
        _copy_parents(order, writer, source)
        if entry.is_directory:
            writer.directory(target, _attributes(order, entry))
            _copy_directory(order, writer, source, target)
        else:
            writer.copy(entry, target.strip("/"), _attributes(order, entry), links=order.is_immutable)
    elif entry.is_directory:
        _copy_directory(order, writer, source, order.destination)
    elif _unpacks(order, source):
        writer.directory(order.destination, _new_directory(order))
        owner = order.owner if order.copy.chown else None
        unpack_archive(entry.real, order.destination.strip("/"), writer, owner=owner)
    else:
        target = _file_target(order, writer, posixpath.basename(entry.path), taken)
        writer.copy(entry, target, _attributes(order, entry), links=order.is_immutable)


def _is_excluded(order: CopyOrder, source: Source) -> bool:
    """Say whether `--exclude` names the source itself: a file by its name or path, with `--parents` whatever it is."""
    if not order.excludes or source.is_remote:
        return False
    if order.copy.keeps_parents:
        return order.excludes.ignores(source.kept)
    path = source.entry.path
    return not source.entry.is_directory and any(order.excludes.ignores(p) for p in (path, posixpath.basename(path)))


def _unpacks(order: CopyOrder, source: Source) -> bool:
    wanted = order.copy.unpacks
    if wanted is None:
        wanted = order.copy.is_add and not source.is_remote
    return wanted and source.entry.is_file and is_archive(source.entry.real)


def _copy_parents(order: CopyOrder, writer: LayerWriter, source: Source) -> None:
    """Make the directories that `--parents` keeps, as they are in the source."""
    above = source.entry.path.removesuffix(source.kept)
    parts = source.kept.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        kept = "/".join(parts[:count])
        directory = source.tree.find(above + kept)
        if directory is not None and directory.is_directory:
            writer.directory(posixpath.join(order.destination, kept), _attributes(order, directory))


def _copy_directory(order: CopyOrder, writer: LayerWriter, source: Source, destination: str) -> None:
    """Copy what is in a directory. Directories in it are made like the source's; the destination has only its time.

    What is excluded is meant relative to it, with `--parents` relative to where the kept directories begin.
    """
    top = source.entry
    real = _make_destination(order, writer, destination)
    writer.set_directory_time(real, top.status.st_mtime_ns)
    base = len(top.path) + 1 if top.path else 0
    above = f"{source.kept}/" if order.copy.keeps_parents and source.kept else ""
    for entry in source.tree.walk(top.path):
        inside = entry.path[base:]
        if order.excludes and order.excludes.ignores(above + inside):
            continue
        target = posixpath.join(destination, inside).strip("/")
        if entry.is_directory:
            writer.directory(target, _attributes(order, entry), overwrites=True)
        else:
            writer.copy(entry, target, _attributes(order, entry), links=order.is_immutable)


def _file_target(order: CopyOrder, writer: LayerWriter, name: str, taken: set[str]) -> str:
    """Return where a file goes; `taken` holds the destination once this instruction has made it a file."""
    if order.destination.endswith("/") or writer.exists_as_directory(order.destination):
        directory = _make_destination(order, writer, order.destination)
        return posixpath.join(directory, name)
    if order.destination in taken:
        raise CopyError(f"when using {'ADD' if order.copy.is_add else 'COPY'} with more than one source file, the destination "
                        "must be a directory and end with a /")
    taken.add(order.destination)
    _make_destination(order, writer, posixpath.dirname(order.destination))
    return writer.tree.resolve(order.destination)  # a file written onto a link goes where that leads


def _make_destination(order: CopyOrder, writer: LayerWriter, path: str) -> str:
    """Make a directory and those above it where there is none; permissions of `--chmod` are for them too if they are octal."""
    attributes = _new_directory(order)
    if order.copy.chmod.isdecimal():
        attributes = replace(attributes, mode=parse_mode(order.copy.chmod, 0) & 0o777)
    parts = path.strip("/").split("/")
    for count in range(1, len(parts)):
        writer.directory("/".join(parts[:count]), attributes)
    return writer.directory(path, attributes)


def _new_directory(order: CopyOrder) -> Attributes:
    uid, gid = order.owner or (0, 0)
    return Attributes(mode=0o755, uid=uid, gid=gid)


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
