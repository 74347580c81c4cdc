"""What dead processes left in the image store, and how to remove it: found by its missing lock, or by what it belongs to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paas.host.files import remove_tree
from paas.oci.claims import is_abandoned, is_stale

#: A layer's link has the first characters of its id.
LINK_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that a dead process left in the store, and how to remove it."""

    description: str
    remove: Callable[[], None]


def find_leftovers(root: Path) -> tuple[Leftover, ...]:
    """Return what is left over in the store at `root`. Reads only."""
    return (
        *(_leftover(f"layer {p.name[:12]}, which is unfinished or pruned", p) for p in _abandoned(root / "pending")),
        *(_leftover(f"the files of transfer {p.name}", p) for p in _abandoned(root / "transfers")),
        *(_leftover(f"the hold of build {p.name}", p) for p in _abandoned(root / "holds")),
        *(_leftover(f"the temporary file {p.parent.name}/{p.name}", p) for p in _stale_files(root)),
        *(_leftover(f"the link {p.parent.name}/{p.name} to no layer", p) for p in _dangling_links(root)),
        *(_leftover(f"the note {p.name} on no layer", p) for p in _facts_of_nothing(root)),
    )


def entries(directory: Path) -> tuple[Path, ...]:
    """Return what is in a directory that may not exist yet, without temporary files."""
    with contextlib.suppress(FileNotFoundError):
        return tuple(entry for entry in directory.iterdir() if not entry.name.startswith("."))
    return ()


def _leftover(description: str, path: Path) -> Leftover:
    return Leftover(description=description, remove=partial(remove_tree, path))


def _abandoned(directory: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from (path for path in sorted(directory.iterdir()) if is_abandoned(path))


def _stale_files(root: Path) -> Iterator[Path]:
    for name in ("", "images", "tags", "keys", "facts"):
        with contextlib.suppress(FileNotFoundError):
            yield from (path for path in (root / name).iterdir() if path.name.startswith(".") and is_stale(path))


def _dangling_links(root: Path) -> Iterator[Path]:
    """Links are made a moment before their layer appears, while it is pending."""
    making = {path.name[:LINK_LENGTH] for path in entries(root / "pending")}
    for link in (*entries(root / "links"), *entries(root / "keys")):
        if link.name not in making and not link.exists() and is_stale(link):
            yield link


def _facts_of_nothing(root: Path) -> Iterator[Path]:
    known = {path.name for path in entries(root / "layers")}
    return (path for path in entries(root / "facts") if path.name.partition(".")[0] not in known and is_stale(path))
