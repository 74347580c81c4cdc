"""Tenant networks on the real kernel: who reaches whom, published ports, names."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from engine_ground import EngineGround
from paas.errors import Conflict
from paas.model.container import Container, ContainerSpec, PortMapping, Tenant
from paas.network import firewall
from paas.network.ipam import veth_name

pytestmark = pytest.mark.integration


def get(address: str, port: int, timeout_s: float = 2) -> bool:
    """Say whether the web server answers."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return b"200 OK" in connection.recv(4096)
    except OSError:
        return False


def answers(address: str, port: int) -> bool:
    """Wait for an answer."""
    deadline = time.monotonic() + 5
    while not get(address, port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def server(ground: EngineGround, tenant: Tenant, **fields: object) -> Container:
    spec = ContainerSpec(image="busybox", argv=("server",), tenant=tenant, **fields)  # type: ignore[arg-type]
    container = ground.engine.start(ground.engine.create(spec).id)
    assert answers(container.address, 5000)
    return container


def reaches(ground: EngineGround, container: Container, address: str, port: int) -> bool:
    """Say whether a container gets a TCP connection."""
    return ground.engine.exec(container.id, ["nc", "-w", "1", address, str(port), "-e", "true"]) == 0


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def host_listener() -> Iterator[int]:
    """A service of the host on all its addresses."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        yield listener.getsockname()[1]


def test_containers_of_one_tenant_reach_each_other_and_no_other_tenant(ground: EngineGround) -> None:
    one, two, other = (server(ground, ground.tenant(n)) for n in (1, 1, 2))
    assert reaches(ground, one, two.address, 5000)
    assert not reaches(ground, one, other.address, 5000)
    assert not reaches(ground, other, one.address, 5000)


def test_a_container_reaches_no_service_of_the_host(ground: EngineGround, host_listener: int) -> None:
    container = server(ground, ground.tenant(1))
    gateway = container.address.rpartition(".")[0] + ".1"
    for address in (gateway, "127.0.0.1", _address_of_host()):
        assert not reaches(ground, container, address, host_listener)
    assert ground.engine.exec(container.id, ["ping", "-c", "1", "-W", "2", gateway]) == 0


@pytest.fixture
def world() -> Iterator[str]:
    """A network namespace beside the host's, at 198.51.100.2, seen from the host's 198.51.100.1; its name."""
    name = f"paas{os.getpid()}"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    ip("netns", "add", name)
    try:
        ip("link", "add", "wtest0", "type", "veth", "peer", "name", "wtest1", "netns", name)
        ip("address", "add", "198.51.100.1/24", "dev", "wtest0")
        ip("link", "set", "wtest0", "up")
        ip("-n", name, "address", "add", "198.51.100.2/24", "dev", "wtest1")
        ip("-n", name, "link", "set", "wtest1", "up")
        yield name
    finally:
        # The link first: those of a deleted namespace go a moment later, and the next test makes one of that name.
        subprocess.run(["ip", "link", "delete", "wtest0"], check=False)
        ip("netns", "delete", name)


def test_a_container_reaches_the_world_under_the_hosts_address(ground: EngineGround, world: str) -> None:
    listen = "import socket; s = socket.create_server(('', 7000)); s.settimeout(10); print('up', flush=True)"
    listen += "; print(s.accept()[1][0])"
    argv = ["ip", "netns", "exec", world, sys.executable, "-c", listen]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None and listener.stdout.readline() == "up\n"
        assert reaches(ground, server(ground, ground.tenant(1)), "198.51.100.2", 7000)
        assert listener.stdout.read() == "198.51.100.1\n"


def test_the_world_does_not_reach_a_container_directly(ground: EngineGround, world: str) -> None:
    container = server(ground, ground.tenant(1))
    subprocess.run(["ip", "-n", world, "route", "add", "default", "via", "198.51.100.1"], check=True)
    connect = f"import socket; socket.create_connection(('{container.address}', 5000), 1)"
    argv = ["ip", "netns", "exec", world, sys.executable, "-c", connect]
    assert subprocess.run(argv, stderr=subprocess.DEVNULL).returncode == 1


def test_a_published_port_answers_on_loopback_and_on_the_hosts_address(ground: EngineGround, free_port: int) -> None:
    container = server(ground, ground.tenant(1), ports=(PortMapping(host_port=free_port, container_port=5000),))
    assert answers("127.0.0.1", free_port)
    assert answers(_address_of_host(), free_port)
    ground.engine.remove(container.id, is_forced=True)
    assert not get("127.0.0.1", free_port)


def test_a_port_published_on_one_address_answers_there_only(ground: EngineGround, free_port: int) -> None:
    mapping = PortMapping(host_port=free_port, container_port=5000, host_address="127.0.0.1")
    server(ground, ground.tenant(1), ports=(mapping,))
    assert answers("127.0.0.1", free_port)
    assert not get(_address_of_host(), free_port)


def test_a_port_in_use_is_refused_naming_the_container_or_process(
    ground: EngineGround, free_port: int, host_listener: int
) -> None:
    server(ground, ground.tenant(1), ports=(PortMapping(host_port=free_port, container_port=5000),), name="holder")
    for port, who in ((free_port, "holder"), (host_listener, rf"pid {os.getpid()}")):
        spec = ContainerSpec(image="busybox", argv=("server",), ports=(PortMapping(host_port=port, container_port=5000),))
        late = ground.engine.create(spec)
        with pytest.raises(Conflict, match=who):
            ground.engine.start(late.id)
    assert answers("127.0.0.1", free_port)


def test_a_link_that_the_last_start_left_is_no_hindrance(ground: EngineGround) -> None:
    container = ground.engine.create(ContainerSpec(image="busybox", argv=("server",), tenant=ground.tenant(1)))
    name = veth_name(ground.settings.network_prefix, container.id)
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}x"[-15:]], check=True)
    assert answers(ground.engine.start(container.id).address, 5000)


def test_a_flushed_firewall_and_a_lost_bridge_come_back_with_repair(ground: EngineGround, free_port: int) -> None:
    container = server(ground, ground.tenant(3), ports=(PortMapping(host_port=free_port, container_port=5000),))
    prefix = ground.settings.network_prefix
    firewall.uninstall(prefix)
    subprocess.run(["ip", "link", "delete", f"{prefix}b3"], check=True)
    assert not get(container.address, 5000, timeout_s=0.2)
    done = ground.engine.repair()
    assert any("bridge" in line for line in done) and any(container.id in line for line in done)
    assert answers(container.address, 5000) and answers("127.0.0.1", free_port)


def _address_of_host() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: tells which address is used towards others
        address: str = probe.getsockname()[0]
        return address
