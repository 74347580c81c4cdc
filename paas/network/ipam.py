"""Addresses and names of tenant networks, derived from the tenant's number. Pure; claims are the engine's.

The number-th /24 of the pool: .1 is the bridge, .2 to .254 are containers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from paas.errors import HostProblem, InvalidSetting

PREFIX_LENGTH = 24
_FIRST, _LAST = 2, 254
#: The kernel's IFNAMSIZ is 16 with the final NUL.
_MAX_INTERFACE_NAME = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantNetwork:
    """The network of one tenant."""

    bridge: str
    subnet: ipaddress.IPv4Network

    @property
    def gateway(self) -> str:
        return str(self.subnet.network_address + 1)


def tenant_network(pool: str, prefix: str, number: int) -> TenantNetwork:
    """Return the network of tenant `number`. Raises InvalidSetting, and HostProblem when the pool is too small."""
    try:
        whole = ipaddress.IPv4Network(pool)
    except ValueError as exc:
        raise InvalidSetting(f"network_pool is not a network: {exc}", remedy="e.g. network_pool = \"10.208.0.0/12\"") from exc
    size = 1 << (32 - PREFIX_LENGTH)
    if (number + 1) * size > whole.num_addresses:
        raise HostProblem(
            f"network_pool {pool} has no network left for tenant {number}", remedy="set a larger network_pool in paas.toml"
        )
    first = int(whole.network_address) + number * size
    return TenantNetwork(bridge=f"{prefix}b{number}", subnet=ipaddress.IPv4Network((first, PREFIX_LENGTH)))


def bridge_pattern(prefix: str) -> str:
    """Return the wildcard that matches every bridge of ours, for firewall rules."""
    return f"{prefix}b*"


def veth_name(prefix: str, container: str) -> str:
    """Return the name of the host's end of a container's link."""
    return f"{prefix}v{container}"[:_MAX_INTERFACE_NAME]


def addresses(network: TenantNetwork, seed: int) -> Iterator[str]:
    """Yield every address for containers once, from a place given by `seed`, so that a freed one is not reused at once."""
    count = _LAST - _FIRST + 1
    for step in range(count):
        yield str(network.subnet.network_address + _FIRST + (seed + step) % count)
