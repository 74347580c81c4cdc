"""Reading what a build wrote: links never lead out of the directory, and only regular files of sensible size count.

A build may leave a link to /etc/shadow, a pipe, or a file that never ends where a buildpack would leave a TOML file.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from paas.errors import BuildFailed
from paas.host.kernel import open_in_root

MAX_BYTES = 1 << 20


def read_text(root: Path, path: str) -> str | None:
    """Return a regular file's text, None when there is no such file."""
    try:
        descriptor = open_in_root(root, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BuildFailed(f"/{path} is larger than {MAX_BYTES >> 20} MiB", remedy="fix the buildpack that wrote it")
    return content.decode(errors="surrogateescape")


def read_directory(root: Path, path: str) -> dict[str, str] | None:
    """Return name -> text of the regular files of a directory, None when there is no such directory."""
    names = list_directory(root, path)
    if names is None:
        return None
    contents = {name: read_text(root, f"{path}/{name}") for name in names}
    return {name: text for name, text in contents.items() if text is not None}


def list_directory(root: Path, path: str) -> tuple[str, ...] | None:
    """Return the names in a directory, sorted, None when there is no such directory."""
    try:
        descriptor = open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return tuple(sorted(os.listdir(descriptor)))  # noqa: PTH208 - a Path cannot be made of a descriptor
    finally:
        os.close(descriptor)


def read_toml(root: Path, path: str) -> dict[str, Any]:
    """Return a TOML file's content, nothing when there is no such file. Raises BuildFailed when it is not TOML."""
    text = read_text(root, path)
    try:
        return tomllib.loads(text) if text else {}
    except tomllib.TOMLDecodeError as exc:
        raise BuildFailed(f"A buildpack wrote /{path}, which is not valid TOML: {exc}") from exc
