from __future__ import annotations

import pytest

from paas.errors import HostProblem, InvalidSetting
from paas.network.ipam import TenantNetwork, addresses, tenant_network, veth_name


def test_a_tenants_network_follows_from_its_number() -> None:
    network = tenant_network("10.208.0.0/12", "paas", 257)
    assert (network.bridge, str(network.subnet), network.gateway) == ("paasb257", "10.209.1.0/24", "10.209.1.1")


def test_a_pool_that_is_no_network_or_too_small_is_refused() -> None:
    with pytest.raises(InvalidSetting):
        tenant_network("10.208.0.1/12", "paas", 0)
    assert isinstance(tenant_network("10.0.0.0/23", "paas", 1), TenantNetwork)
    with pytest.raises(HostProblem, match="tenant 2"):
        tenant_network("10.0.0.0/23", "paas", 2)


@pytest.mark.parametrize("seed", [0, 252, 253, 123456789])
def test_every_address_but_the_bridges_is_offered_once(seed: int) -> None:
    offered = list(addresses(tenant_network("10.0.0.0/16", "paas", 1), seed))
    assert len(set(offered)) == len(offered) == 253
    assert offered[0] == f"10.0.1.{2 + seed % 253}"
    assert not {"10.0.1.0", "10.0.1.1", "10.0.1.255"} & set(offered)


def test_interface_names_fit_the_kernel() -> None:
    assert veth_name("paas", "0123456789abcdef") == "paasv0123456789"
