"""Mount points that the runtime makes in a root because the image has none; they must not end up in a layer.

What a build put there in the meantime may be a trap (a link to the host): every path is resolved inside the directory.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from paas.host import kernel


def missing_mountpoints(root: Path, targets: Iterable[str]) -> tuple[str, ...]:
    """Return which of these absolute paths, and which directories above them, do not exist in a mounted root."""
    found: set[str] = set()
    for target in targets:
        path = PurePosixPath("/", target)
        found.update(str(p) for p in (path, *path.parents) if not _exists(root, str(p)))
    return tuple(sorted(found))


def remove_mountpoints(upper: Path, missing: Iterable[str]) -> None:
    """Remove those of the paths that are empty still, deepest first."""
    for name in sorted(missing, key=lambda n: n.count("/"), reverse=True):
        path = PurePosixPath(name)
        try:
            parent = kernel.open_in_root(upper, str(path.parent), os.O_PATH | os.O_DIRECTORY)
        except OSError:
            continue  # nothing was made there
        try:
            with contextlib.suppress(OSError):  # not there, or holds something that the build made
                _remove_empty(parent, path.name)
        finally:
            os.close(parent)


def _remove_empty(parent: int, name: str) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        os.rmdir(name, dir_fd=parent)
    elif stat.S_ISREG(found.st_mode) and found.st_size == 0:
        os.unlink(name, dir_fd=parent)


def _exists(root: Path, path: str) -> bool:
    try:
        os.close(kernel.open_in_root(root, path, os.O_PATH))
    except OSError:
        return False
    return True
