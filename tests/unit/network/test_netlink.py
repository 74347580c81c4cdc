"""Requests to the kernel, read back by pyroute2's own decoder, and the kernel's answers."""

from __future__ import annotations

import errno
import struct

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from paas.network import netlink

REQUEST_ACK, CREATE_EXCL = 0x5, 0x600


def decoded(kind, message):
    found = kind(message)
    found.decode()
    assert found["header"]["length"] == len(message)
    return found


def test_a_veth_pair_joins_a_bridge_and_a_namespace() -> None:
    message = netlink.new_veth("paasv0", 7, peer="eth0", peer_index=2, peer_address="02:70:0a:d0:00:02", pid=4711)
    link = decoded(ifinfmsg, message)
    assert (link["header"]["type"], link["header"]["flags"]) == (16, REQUEST_ACK | CREATE_EXCL)
    assert (link["flags"], link["change"], link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_MASTER")) == (1, 1, "paasv0", 7)
    info = link.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert (peer["index"], peer.get_attr("IFLA_IFNAME")) == (2, "eth0")
    assert (peer.get_attr("IFLA_ADDRESS"), peer.get_attr("IFLA_NET_NS_PID")) == ("02:70:0a:d0:00:02", 4711)


def test_a_link_comes_up() -> None:
    link = decoded(ifinfmsg, netlink.link_up(2))
    assert (link["header"]["flags"], link["index"], link["flags"], link["change"]) == (REQUEST_ACK, 2, 1, 1)


def test_an_address_and_a_default_route() -> None:
    address = decoded(ifaddrmsg, netlink.new_address(2, "10.208.0.2", 24))
    assert (address["index"], address["prefixlen"], address["family"]) == (2, 24, 2)
    assert (address.get_attr("IFA_LOCAL"), address.get_attr("IFA_ADDRESS")) == ("10.208.0.2", "10.208.0.2")
    route = decoded(rtmsg, netlink.default_route("10.208.0.1"))
    assert (route["dst_len"], route["table"], route["type"], route["scope"]) == (0, 254, 1, 0)
    assert route.get_attr("RTA_GATEWAY") == "10.208.0.1"


def test_the_kernels_answers_are_told_apart() -> None:
    def answer(number: int) -> bytes:
        return struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -number) + b"\0" * 16

    assert netlink.acknowledged(answer(0) + answer(errno.EEXIST)) == [0, errno.EEXIST]
    assert netlink.acknowledged(struct.pack("=IHHII", 16, 3, 0, 0, 0)) == []


def test_what_the_kernel_refuses_is_an_error() -> None:
    with pytest.raises(OSError) as refused:
        netlink.send([netlink.link_up(2**31 - 1)])
    assert refused.value.errno in (errno.ENODEV, errno.EPERM)
