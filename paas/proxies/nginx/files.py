"""Changes of several files that are taken back together, byte for byte, when something fails after them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from paas.host.files import atomic_write


@contextlib.contextmanager
def changed(changes: Mapping[Path, str | None]) -> Iterator[None]:
    """Write these files (None removes one); an exception inside brings back what was there."""
    before = {path: read(path) for path in changes}
    try:
        _write_all(changes)
        yield
    except BaseException:
        _write_all(before)
        raise


@contextlib.contextmanager
def tried(changes: Mapping[Path, str | None]) -> Iterator[None]:
    """Write these files, and bring back what was there at the end."""
    before = {path: read(path) for path in changes}
    try:
        _write_all(changes)
        yield
    finally:
        _write_all(before)


def read(path: Path) -> bytes | None:
    """Return a file's bytes, None when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write(path: Path, content: str | bytes | None) -> None:
    """Write or remove a file; nothing when it is so already."""
    wanted = content.encode() if isinstance(content, str) else content
    if read(path) == wanted:
        return
    if wanted is None:
        path.unlink(missing_ok=True)
    else:
        atomic_write(path, wanted)


def _write_all(contents: Mapping[Path, str | None] | Mapping[Path, bytes | None]) -> None:
    for path, content in contents.items():
        write(path, content)
