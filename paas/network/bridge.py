"""Bridges and veth pairs over netlink. Not addresses (ipam) and not rules (firewall).

No namespace is made or named here: a container's is found by the pid of its init and configured from a thread that enters
it. pyroute2 is imported where used: the import takes 0.2 s. What every start needs is in netlink.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paas.errors import HostProblem
from paas.host import kernel
from paas.network import netlink
from paas.network.ipam import PREFIX_LENGTH, TenantNetwork

INSIDE_NAME = "eth0"
#: A fresh namespace holds lo only; asking for the number saves looking it up.
_LOOPBACK_INDEX, _INSIDE_INDEX = 1, 2
#: A connect to a container that has just died fails after half a second, not after the usual 5 + 3: the bridge is in this
#: machine, an answer takes microseconds. Source: ip-sysctl.rst, neigh/*.
_NEIGHBOURS = (("delay_first_probe_time", "0"), ("retrans_time_ms", "100"), ("ucast_solicit", "2"), ("mcast_solicit", "2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One container's link: the host's end, and the address at the container's."""

    name: str
    network: TenantNetwork
    address: str


def preload() -> None:
    """Import pyroute2 now, so that the first container does not wait for it."""
    import pyroute2  # noqa: F401


def has_bridge(network: TenantNetwork) -> bool:
    """Say whether the bridge is there; costs no netlink call."""
    return Path("/sys/class/net", network.bridge).exists()


def make_bridge(network: TenantNetwork) -> None:
    """Make the bridge with its gateway address and bring it up; one that is there is brought to the same state."""
    try:
        with _rtnetlink() as rtnetlink:
            with _unless(errno.EEXIST):
                rtnetlink.link("add", ifname=network.bridge, kind="bridge", address=_hardware_address(network.gateway))
            index = rtnetlink.link_lookup(ifname=network.bridge)[0]
            # 127.0.0.1:port of the host is translated to a container; the firewall drops 127/8 that comes from a bridge.
            _sysctl(f"net/ipv4/conf/{network.bridge}/route_localnet", "1")
            _sysctl(f"net/ipv6/conf/{network.bridge}/disable_ipv6", "1")
            for key, value in _NEIGHBOURS:
                _sysctl(f"net/ipv4/neigh/{network.bridge}/{key}", value)
            with _unless(errno.EEXIST):
                rtnetlink.addr("add", index=index, address=network.gateway, prefixlen=PREFIX_LENGTH)
            rtnetlink.link("set", index=index, state="up")
    except OSError as exc:
        raise HostProblem(f"Could not make the bridge {network.bridge}: {exc}", remedy="run: paas doctor") from exc


def remove_interface(name: str) -> bool:
    """Remove a bridge or a veth pair; say whether it was there."""
    try:
        with _rtnetlink() as rtnetlink:
            found = rtnetlink.link_lookup(ifname=name)
            for index in found:
                with _unless(errno.ENODEV, errno.EINVAL):  # it went away meanwhile
                    rtnetlink.link("del", index=index)
            return bool(found)
    except OSError as exc:
        raise HostProblem(f"Could not remove the interface {name}: {exc}", remedy="run: paas doctor") from exc


def interfaces(prefix: str) -> tuple[str, ...]:
    """Return the names of our bridges and veths on the host."""
    return tuple(sorted(p.name for p in Path("/sys/class/net").glob(f"{prefix}[bv]*")))


def connect(link: Link, pid: int) -> None:
    """Give the network namespace of a process a link to the tenant's bridge, an address and a default route."""
    try:
        bridge = int(Path("/sys/class/net", link.network.bridge, "ifindex").read_text())
        pair = netlink.new_veth(
            link.name, bridge, peer=INSIDE_NAME, peer_index=_INSIDE_INDEX, peer_address=_hardware_address(link.address), pid=pid
        )  # fmt: skip
        try:
            netlink.send([pair])
        except FileExistsError:  # of its last start: the kernel takes a dead namespace's links away a moment later
            remove_interface(link.name)
            netlink.send([pair])
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.call_in_network(namespace, lambda: _configure_inside(link))
        finally:
            os.close(namespace)
    except OSError as exc:
        raise HostProblem(
            f"Could not connect a container to {link.network.bridge}: {exc}", remedy="run: paas doctor"
        ) from exc


def join_bridge(name: str, network: TenantNetwork) -> bool:
    """Put the host's end of a link on its bridge; say whether it was not there."""
    if Path("/sys/class/net", name, "master").exists() or not Path("/sys/class/net", name).exists():
        return False
    try:
        with _rtnetlink() as rtnetlink:
            index = rtnetlink.link_lookup(ifname=name)[0]
            rtnetlink.link("set", index=index, master=rtnetlink.link_lookup(ifname=network.bridge)[0], state="up")
    except OSError as exc:
        raise HostProblem(f"Could not connect {name} to {network.bridge}: {exc}", remedy="run: paas doctor") from exc
    return True


def _configure_inside(link: Link) -> None:
    netlink.send([
        netlink.link_up(_LOOPBACK_INDEX),
        netlink.new_address(_INSIDE_INDEX, link.address, PREFIX_LENGTH),
        netlink.link_up(_INSIDE_INDEX),
        netlink.default_route(link.network.gateway),
    ])  # fmt: skip


@contextlib.contextmanager
def _rtnetlink() -> Iterator[Any]:
    """Open a netlink socket in the thread's namespace; what the kernel refuses comes out as OSError."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as rtnetlink:
            yield rtnetlink
    except NetlinkError as exc:
        raise OSError(exc.code, str(exc)) from exc


@contextlib.contextmanager
def _unless(*numbers: int) -> Iterator[None]:
    """Ignore refusals that mean the work is done already."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as exc:
        if exc.code not in numbers:
            raise


def _hardware_address(address: str) -> str:
    """Derive a locally administered MAC from an address: a reused address never meets a stale neighbour entry."""
    return "02:70:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def _sysctl(key: str, value: str) -> None:
    path = Path("/proc/sys", key)
    if path.exists():  # IPv6 may be off altogether
        path.write_text(value)
