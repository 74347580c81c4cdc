"""Who listens on a port of this machine. Reads /proc only.

Source: proc_net(5), /proc/net/tcp: local address, state 0A is LISTEN, inode of the socket.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

_LISTEN, _UDP_BOUND = "0A", "07"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A process with an open port; `pid` 0 when it could not be found."""

    pid: int
    name: str


def find_listener(protocol: str, port: int) -> Listener | None:
    """Return who has a port open on any address of this machine, or None."""
    inodes: set[str] = set()
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(FileNotFoundError):  # no IPv6
            inodes |= listening_inodes(Path("/proc/net", table).read_text(), port, _LISTEN if protocol == "tcp" else _UDP_BOUND)
    return _owner(inodes) if inodes else None


def listening_inodes(table: str, port: int, state: str) -> set[str]:
    """Return the socket inodes in the text of /proc/net/tcp that are in this state on this port. Pure."""
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
            found.add(fields[9])
    return found


def _owner(inodes: set[str]) -> Listener:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in wanted:
                    return Listener(pid=int(process.name), name=(process / "comm").read_text().strip())
    return Listener(pid=0, name="another process")
