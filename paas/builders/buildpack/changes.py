"""What a build did to its layers: read off the overlay upper directory, without looking at a single file inside them.

Layers of the last build are lower directories of the build's root, so restoring one costs nothing, and one that the build
did not touch is not in the upper directory at all: no timestamps or checksums are compared.

Source: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import shutil
import stat
from enum import StrEnum
from pathlib import Path

OPAQUE, IS_OPAQUE = "trusted.overlay.opaque", b"y"


class Change(StrEnum):
    """What became of a directory."""

    NONE = "none"  # as it was below, or not there
    CHANGED = "changed"  # made, or changed on top of what was below
    REPLACED = "replaced"  # removed and made anew: nothing of what was below shows
    REMOVED = "removed"


def change_of(upper: Path, path: str) -> Change:
    """Return what became of a directory; `path` is relative to the root. A link or file in its place is no directory."""
    current, is_opaque = upper, False
    for part in path.split("/"):
        current = current / part
        try:
            found = current.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return Change.REMOVED if is_opaque else Change.NONE
        if not stat.S_ISDIR(found.st_mode):
            return Change.REMOVED
        is_opaque = is_opaque or _is_opaque(current)
    return Change.REPLACED if is_opaque else Change.CHANGED


def merge(lower: Path, upper: Path) -> None:
    """Bring `lower`'s files into `upper`, as overlayfs shows the two; hard links, so nothing is copied.

    Both belong to layers: no file of either is written to any more.
    """
    for entry in os.scandir(lower):
        target = upper / entry.name
        is_directory = entry.is_dir(follow_symlinks=False)
        if not os.path.lexists(target):
            if is_directory:
                _link_tree(Path(entry.path), target)
            else:
                os.link(entry.path, target, follow_symlinks=False)
        elif is_directory and stat.S_ISDIR(target.lstat().st_mode) and not _is_opaque(target):
            merge(Path(entry.path), target)
    for entry in os.scandir(upper):
        if _is_whiteout(entry.stat(follow_symlinks=False)):
            Path(entry.path).unlink()


def _link_tree(source: Path, target: Path) -> None:
    target.mkdir()
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            _link_tree(Path(entry.path), target / entry.name)
        else:
            os.link(entry.path, target / entry.name, follow_symlinks=False)
    found = source.stat()
    os.chown(target, found.st_uid, found.st_gid)
    shutil.copystat(source, target)


def _is_opaque(directory: Path) -> bool:
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == IS_OPAQUE
    except OSError:
        return False  # ENODATA: no such attribute


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
