"""Where `container:cp` puts what it copies: the rules of `docker cp` for both directions. Pure.

Source: Docker's documentation, "docker container cp".
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from enum import StrEnum

from paas.errors import InvalidInput


class FileKind(StrEnum):
    MISSING = "missing"
    DIRECTORY = "directory"
    OTHER = "other"  # a file, a link that is not followed, a device


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is at a path: `path` is absolute and has no links but perhaps its last component, `given` is what the user wrote."""

    given: str
    path: str
    kind: FileKind

    @property
    def is_said_to_be_a_directory(self) -> bool:
        return self.given.endswith(("/", "/.")) or self.given in (".", "..")

    @property
    def means_its_content(self) -> bool:
        """Say whether what is in the directory shall be copied, not the directory."""
        return self.given == "." or self.given.endswith("/.") or not self.name

    @property
    def name(self) -> str:
        """Return what it is called; the name of a link that was followed is the link's."""
        written = posixpath.normpath(self.given).rpartition("/")[2]
        return self.path.rpartition("/")[2] if written in ("", ".", "..") else written


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The directory that is written to, and what the source is called there; '' when only its content goes there."""

    directory: str
    name: str


def place(source: Found, destination: Found) -> Placement:
    """Return where a source goes. Raises InvalidInput."""
    is_directory = source.kind is FileKind.DIRECTORY
    if source.kind is FileKind.MISSING:
        raise InvalidInput(f"There is no '{source.given}'", remedy="look at its name")
    if source.is_said_to_be_a_directory and not is_directory:
        raise InvalidInput(f"'{source.given}' is no directory", remedy="leave out what follows its name")
    if destination.kind is FileKind.DIRECTORY:
        return Placement(directory=destination.path, name="" if is_directory and source.means_its_content else source.name)
    directory, _, name = destination.path.rpartition("/")
    if destination.kind is FileKind.OTHER and is_directory:
        raise InvalidInput(f"'{source.given}' is a directory and '{destination.given}' is none", remedy="name a directory")
    if destination.is_said_to_be_a_directory and not is_directory:
        raise InvalidInput(f"There is no directory '{destination.given}'", remedy="make it first, or leave out the last '/'")
    return Placement(directory=directory or "/", name=name)


def split_place(text: str) -> tuple[str, str]:
    """Split CONTAINER:PATH; the container is '' for a path of this machine: absolute, beginning with '.', or without ':'."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return "", text
    return container, path or "/"
