"""Who is at the other end of the executor's socket, and for whom it may speak."""

from __future__ import annotations

import array
import contextlib
import pwd
import socket
import struct
from dataclasses import dataclass

from paas.context import Identity
from paas.errors import PermissionRefused
from paas.serve.request import Origin, Request

#: <asm-generic/socket.h>; Python has no name for it.
_SO_PEERGROUPS = 59
#: Python hands the kernel no longer buffer than this; whoever is in more than 256 groups is known by his first one.
_OPTION_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A process on this machine, as the kernel vouches for it."""

    pid: int
    uid: int
    groups: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """Read the credentials that the peer had when it connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    pid, uid, gid = struct.unpack("iII", raw)
    groups = array.array("I")
    with contextlib.suppress(OSError):
        groups.frombytes(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _OPTION_BYTES))
    return Peer(pid=pid, uid=uid, groups=frozenset(groups) | {gid})


def identify(peer: Peer, request: Request, *, user: str) -> Identity:
    """Return whose command this is. `user` is the system user of the SSH fronts and of git's hooks. Raises PermissionRefused."""
    if peer.uid == 0:
        return Identity(name=request.identity or "root", is_admin=request.origin is Origin.LOCAL and not request.identity)
    try:
        ours = pwd.getpwnam(user)
    except KeyError:
        ours = None
    if ours is not None and peer.uid == ours.pw_uid:
        return Identity(name=request.identity or user, is_admin=False)
    if ours is not None and ours.pw_gid in peer.groups:
        return Identity(name=_user_name(peer.uid), is_admin=False)
    name = _user_name(peer.uid)
    raise PermissionRefused(
        f"User {name} may not use paas",
        remedy=f"run it with sudo, or let {name} in: sudo usermod -aG {user} {name} (and log in again)",
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
