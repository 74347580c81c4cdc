"""The five requests to the kernel that connect a container, encoded here: they lie on the path of every start, and pyroute2,
which does all the rest (bridge.py), takes 5 ms of work for them. The messages are pure; `send` talks to the kernel.

Source: netlink(7), rtnetlink(7); linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, veth.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence

_NETLINK_ROUTE = 0
_NLMSG_ERROR, _RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 2, 16, 20, 24
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=8BI")  # rtmsg: family, lengths, tos, table, protocol, scope, type, flags
_ERROR = struct.Struct("=i")
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_PID = 1, 3, 10, 18, 19
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _RTA_GATEWAY = 1, 2, 5
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST = 254, 4, 1
_BUFFER_BYTES = 16384


def new_veth(name: str, bridge_index: int, *, peer: str, peer_index: int, peer_address: str, pid: int) -> bytes:
    """Return the request for a pair of links: one on a bridge and up, the other in the namespace of a process. Pure."""
    inside = _LINK.pack(0, 0, peer_index, 0, 0) + b"".join((
        _attribute(_IFLA_IFNAME, peer.encode() + b"\0"),
        _attribute(_IFLA_ADDRESS, bytes.fromhex(peer_address.replace(":", ""))),
        _attribute(_IFLA_NET_NS_PID, struct.pack("=I", pid)),
    ))  # fmt: skip
    kind = _attribute(_IFLA_INFO_KIND, b"veth") + _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, inside))
    return _message(_RTM_NEWLINK, _CREATE | _EXCL, _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + b"".join((
        _attribute(_IFLA_IFNAME, name.encode() + b"\0"),
        _attribute(_IFLA_MASTER, struct.pack("=I", bridge_index)),
        _attribute(_IFLA_LINKINFO, kind),
    )))  # fmt: skip


def link_up(index: int) -> bytes:
    """Return the request to bring a link up. Pure."""
    return _message(_RTM_NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP))


def new_address(index: int, address: str, prefix_length: int) -> bytes:
    """Return the request to give a link an IPv4 address. Pure."""
    packed = socket.inet_aton(address)
    attributes = _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
    header = _ADDRESS.pack(socket.AF_INET, prefix_length, 0, 0, index)
    return _message(_RTM_NEWADDR, _CREATE | _EXCL, header + attributes)


def default_route(gateway: str) -> bytes:
    """Return the request for an IPv4 default route. Pure."""
    header = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNICAST, 0)
    return _message(_RTM_NEWROUTE, _CREATE | _EXCL, header + _attribute(_RTA_GATEWAY, socket.inet_aton(gateway)))


def send(messages: Sequence[bytes]) -> None:
    """Have the kernel do these in order, in the thread's network namespace. Raises OSError for the first that it refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE) as connection:
        connection.sendto(b"".join(messages), (0, 0))
        left = len(messages)
        while left:
            for number in acknowledged(connection.recv(_BUFFER_BYTES)):
                left -= 1
                if number:
                    raise OSError(number, os.strerror(number))


def acknowledged(answer: bytes) -> list[int]:
    """Return the error numbers in what the kernel answered, 0 for done. Pure."""
    found, start = [], 0
    while start + _HEADER.size <= len(answer):
        length, kind, *_ = _HEADER.unpack_from(answer, start)
        if kind == _NLMSG_ERROR:
            found.append(-_ERROR.unpack_from(answer, start + _HEADER.size)[0])
        start += max(_padded(length), _HEADER.size)
    return found


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _ACK | flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (_padded(length) - length)


def _padded(length: int) -> int:
    return (length + 3) & ~3
