"""The firewall of tenant networks: one nftables table, changed atomically. Not per container, except published ports.

Bridges match by wildcard, so that starting a container without ports changes nothing here:
between tenants nothing passes; from a tenant out everything but link-local addresses does, masqueraded; from a tenant to the
host only what answers, ping, DNS and the public web ports; from elsewhere into a tenant only published ports.
Source: nft(8); DESIGN.md, 1 and 7.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from paas.errors import CommandFailed
from paas.host.run import find_tool, run
from paas.model.container import PortMapping
from paas.network.ipam import bridge_pattern

_REMEDY = "run: paas doctor"
_ANY = "0.0.0.0"
#: Where clouds keep a machine's credentials (and some their resolver, which stays within reach). Source: RFC 3927.
_LINK_LOCAL = "169.254.0.0/16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A port mapping and the address of the container that it leads to."""

    mapping: PortMapping
    address: str


def ruleset(prefix: str, pool: str, bridges: Collection[str], open_ports: Collection[int]) -> str:
    """Return nft input that replaces all rules of our table and keeps the published ports. Pure."""
    ours = f'"{bridge_pattern(prefix)}"'
    same = "".join(f'add element inet {prefix} same {{ "{b}" . "{b}" }}\n' for b in sorted(bridges))
    web = ", ".join(str(port) for port in sorted({53, *open_ports}))
    return f"""\
add table inet {prefix}
add set inet {prefix} same {{ type ifname . ifname; }}
add map inet {prefix} published {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
add map inet {prefix} published_at {{ type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }}
add chain inet {prefix} guard {{ type filter hook prerouting priority raw; }}
add chain inet {prefix} incoming {{ type nat hook prerouting priority dstnat; }}
add chain inet {prefix} local {{ type nat hook output priority -100; }}
add chain inet {prefix} outgoing {{ type nat hook postrouting priority srcnat; }}
add chain inet {prefix} forward {{ type filter hook forward priority filter; }}
add chain inet {prefix} input {{ type filter hook input priority filter; }}
add chain inet {prefix} publish
flush chain inet {prefix} guard
flush chain inet {prefix} incoming
flush chain inet {prefix} local
flush chain inet {prefix} outgoing
flush chain inet {prefix} forward
flush chain inet {prefix} input
flush chain inet {prefix} publish
flush set inet {prefix} same
{same}\
add rule inet {prefix} guard iifname {ours} ip daddr 127.0.0.0/8 drop
add rule inet {prefix} guard iifname {ours} fib saddr . iif oif missing drop
add rule inet {prefix} incoming fib daddr type local jump publish
add rule inet {prefix} local fib daddr type local jump publish
add rule inet {prefix} publish dnat ip to meta l4proto . th dport map @published
add rule inet {prefix} publish dnat ip to meta l4proto . ip daddr . th dport map @published_at
add rule inet {prefix} outgoing ip saddr {pool} oifname != {ours} masquerade
add rule inet {prefix} outgoing ip saddr 127.0.0.0/8 oifname {ours} masquerade
add rule inet {prefix} outgoing ip saddr {pool} ct status dnat oifname {ours} masquerade
add rule inet {prefix} forward iifname {ours} ip daddr {_LINK_LOCAL} udp dport != 53 drop
add rule inet {prefix} forward iifname {ours} ip daddr {_LINK_LOCAL} meta l4proto != udp drop
add rule inet {prefix} forward ct state established,related accept
add rule inet {prefix} forward iifname . oifname @same accept
add rule inet {prefix} forward iifname {ours} oifname {ours} drop
add rule inet {prefix} forward oifname {ours} ct status dnat accept
add rule inet {prefix} forward oifname {ours} drop
add rule inet {prefix} input iifname != {ours} accept
add rule inet {prefix} input ct state established,related accept
add rule inet {prefix} input icmp type echo-request accept
add rule inet {prefix} input udp dport 53 accept
add rule inet {prefix} input tcp dport {{ {web} }} accept
add rule inet {prefix} input meta l4proto tcp reject with tcp reset
add rule inet {prefix} input drop
"""


def published_commands(prefix: str, publications: Sequence[Publication]) -> str:
    """Return nft input that makes these, and no others, the published ports. Pure."""
    lines = [f"flush map inet {prefix} published", f"flush map inet {prefix} published_at"]
    for publication in publications:
        mapping = publication.mapping
        target = f"{publication.address} . {mapping.container_port}"
        if mapping.host_address == _ANY:
            lines.append(f"add element inet {prefix} published {{ {mapping.protocol} . {mapping.host_port} : {target} }}")
        else:
            key = f"{mapping.protocol} . {mapping.host_address} . {mapping.host_port}"
            lines.append(f"add element inet {prefix} published_at {{ {key} : {target} }}")
    return "\n".join(lines) + "\n"


def install(prefix: str, pool: str, bridges: Collection[str], open_ports: Collection[int]) -> None:
    """Bring the table to what it must be and let other firewalls pass what ours decides on. Raises CommandFailed."""
    _apply(ruleset(prefix, pool, bridges, open_ports))
    _pass_foreign_policy(prefix)


def set_published(prefix: str, publications: Sequence[Publication]) -> None:
    """Lead these ports of the host to containers, and no others. Raises CommandFailed."""
    _apply(published_commands(prefix, publications))


def is_installed(prefix: str) -> bool:
    """Say whether our table is there; another program may have flushed the ruleset."""
    return f"table inet {prefix}\n" in run(["nft", "list", "tables"], remedy=_REMEDY) + "\n"


def uninstall(prefix: str) -> None:
    """Remove our table and the rules in foreign chains."""
    if is_installed(prefix):
        _apply(f"delete table inet {prefix}\n")
    for rule in _pass_rules(prefix):
        for chain in ("DOCKER-USER", "FORWARD"):
            _iptables(["-D", chain, *rule])


def _apply(commands: str) -> None:
    run(["nft", "-f", "-"], stdin=commands.encode(), remedy=_REMEDY)


def _pass_foreign_policy(prefix: str) -> None:
    """Accept our traffic where Docker or another iptables firewall drops by default; our own table still isolates.

    Every base chain of a hook must accept a packet: theirs would drop what ours lets pass, so it gets a rule of ours. It is
    written with iptables, not nft: iptables can not list a chain that holds rules which it does not know.
    """
    if find_tool("iptables") is None:
        return
    chain = "DOCKER-USER" if _iptables(["-S", "DOCKER-USER"]) else "FORWARD"
    if chain == "FORWARD" and "-P FORWARD ACCEPT" in _iptables(["-S", "FORWARD"]):
        return
    for rule in _pass_rules(prefix):
        if not _iptables(["-C", chain, *rule]):
            _iptables(["-I", chain, *rule])


def _pass_rules(prefix: str) -> tuple[list[str], ...]:
    # In iptables a `+` at the end of an interface name is the wildcard.
    return ["-i", f"{prefix}b+", "-j", "ACCEPT"], ["-o", f"{prefix}b+", "-j", "ACCEPT"]


def _iptables(arguments: list[str]) -> str:
    """Run iptables; return what it said, " " if that was nothing, and "" when it refused."""
    if find_tool("iptables") is None:
        return ""
    try:
        return run(["iptables", "-w", *arguments]) or " "
    except CommandFailed:
        return ""
