from __future__ import annotations

from paas.model.container import PortMapping
from paas.network.firewall import Publication, published_commands, ruleset


def test_the_rules_name_bridges_by_wildcard_and_keep_tenants_apart() -> None:
    rules = ruleset("paas", "10.208.0.0/12", ["paasb2", "paasb1"], [443, 80]).splitlines()
    forward = [line.removeprefix("add rule inet paas forward ") for line in rules if " rule inet paas forward " in line]
    assert forward == [
        'iifname "paasb*" ip daddr 169.254.0.0/16 udp dport != 53 drop',
        'iifname "paasb*" ip daddr 169.254.0.0/16 meta l4proto != udp drop',
        "ct state established,related accept",
        "iifname . oifname @same accept",
        'iifname "paasb*" oifname "paasb*" drop',
        'oifname "paasb*" ct status dnat accept',
        'oifname "paasb*" drop',
    ]
    assert 'add element inet paas same { "paasb1" . "paasb1" }' in rules
    assert "add rule inet paas input tcp dport { 53, 80, 443 } accept" in rules
    assert rules[-1] == "add rule inet paas input drop"


def test_replacing_the_rules_keeps_the_published_ports() -> None:
    assert not any("flush map" in line for line in ruleset("paas", "10.0.0.0/8", [], []).splitlines())


def test_published_ports_are_replaced_as_a_whole() -> None:
    names = PortMapping(host_port=53, container_port=53, host_address="127.0.0.1", protocol="udp")
    published = [
        Publication(mapping=PortMapping(host_port=8080, container_port=80), address="10.0.0.2"),
        Publication(mapping=names, address="10.0.0.3"),
    ]
    assert published_commands("paas", published).splitlines() == [
        "flush map inet paas published",
        "flush map inet paas published_at",
        "add element inet paas published { tcp . 8080 : 10.0.0.2 . 80 }",
        "add element inet paas published_at { udp . 127.0.0.1 . 53 : 10.0.0.3 . 53 }",
    ]
