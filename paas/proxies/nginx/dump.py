"""What nginx reads: the output of `nginx -T`, taken apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*#.*$|\s#.*$", re.MULTILINE)
_LISTEN = re.compile(r"\blisten\s+([^;]+);")
_WILDCARDS = ("*", "0.0.0.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """All files that make up the configuration, comments removed."""

    files: Mapping[str, str]

    def reads(self, path: Path) -> bool:
        """Say whether the file is part of it."""
        return str(path) in self.files

    def others(self, directory: Path) -> Dump:
        """Return the part that does not come from our directory."""
        return Dump(files={name: text for name, text in self.files.items() if not Path(name).is_relative_to(directory)})

    def default_listens(self) -> frozenset[str]:
        """Return the addresses, as we write them, that have a default server."""
        return frozenset(address for address, options in self._listens() if {"default_server", "default"} & options)

    def listens(self) -> frozenset[str]:
        """Return the addresses, as we write them, that something listens on."""
        return frozenset(address for address, _ in self._listens())

    def sets(self, directive: str) -> bool:
        """Say whether a directive occurs."""
        return any(re.search(rf"(^|[;{{}}])\s*{directive}\s", text, re.MULTILINE) for text in self.files.values())

    def value(self, directive: str) -> str:
        """Return the first value of a directive of one argument, '' if it does not occur."""
        found = (re.search(rf"(?:^|[;{{}}])\s*{directive}\s+(\S+);", text, re.MULTILINE) for text in self.files.values())
        return next((match[1] for match in found if match), "")

    def _listens(self) -> Iterator[tuple[str, set[str]]]:
        for text in self.files.values():
            for match in _LISTEN.finditer(text):
                address, *options = match[1].split()
                yield canonical_listen(address), set(options)


def parse_dump(text: str) -> Dump:
    """Read the output of `nginx -T`."""
    pieces = _FILE.split(text)
    return Dump(files={name: _COMMENT.sub("", body) for name, body in zip(pieces[1::2], pieces[2::2], strict=True)})


def canonical_listen(address: str) -> str:
    """Return `80` for all ways to write port 80 on every IPv4 address; others stay as they are, with their port."""
    host, colon, port = address.rpartition(":")
    if address.startswith("unix:"):
        return address
    if address.endswith("]"):
        return f"{address}:80"
    if not colon:
        return address if address.isdecimal() else f"{address}:80" if address not in _WILDCARDS else "80"
    return port if host in _WILDCARDS else address

