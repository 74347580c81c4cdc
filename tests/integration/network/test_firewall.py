"""Our table beside another firewall that drops by default, in a network namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.integration

SCRIPT = """
from paas.network import firewall
for _ in range(2):
    firewall.install("tfw", "10.220.0.0/16", ["tfwb1"], [80])
assert firewall.is_installed("tfw")
"""
OURS = ["-i tfwb+ -j ACCEPT", "-o tfwb+ -j ACCEPT"]


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"paasfw{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def inside(namespace: str, *argv: str) -> str:
    done = subprocess.run(["ip", "netns", "exec", namespace, *argv], check=True, capture_output=True, text=True)
    return done.stdout


def accepts(namespace: str, chain: str) -> list[str]:
    lines = inside(namespace, "iptables", "-S", chain).splitlines()
    return sorted(line.removeprefix(f"-A {chain} ") for line in lines if "tfw" in line)


@pytest.mark.parametrize("chain", ["FORWARD", "DOCKER-USER"])
def test_a_policy_of_drop_gets_rules_that_let_us_pass_once(namespace: str, chain: str) -> None:
    inside(namespace, "iptables", "-P", "FORWARD", "DROP")
    if chain != "FORWARD":
        inside(namespace, "iptables", "-N", chain)
    inside(namespace, sys.executable, "-c", SCRIPT)
    assert accepts(namespace, chain) == OURS
    inside(namespace, sys.executable, "-c", "from paas.network import firewall; firewall.uninstall('tfw')")
    assert accepts(namespace, chain) == []
    assert "tfw" not in inside(namespace, "nft", "list", "tables")


def test_a_policy_of_accept_is_left_alone(namespace: str) -> None:
    inside(namespace, sys.executable, "-c", SCRIPT)
    assert accepts(namespace, "FORWARD") == []
