"""Published ports: host port -> container, decided from what runs, written to the firewall as a whole."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from paas.engines.embedded.ground import Ground
from paas.engines.embedded.record import Record, container_from, read_record
from paas.errors import CommandFailed, Conflict, HostProblem
from paas.host.files import flock
from paas.model.container import Container, PortMapping
from paas.network import firewall
from paas.network.firewall import Publication
from paas.network.listening import find_listener

_ANY = "0.0.0.0"
#: Where a port is taken from when none was chosen: below what the kernel gives to outgoing connections.
_FREE_PORTS = range(20_000, 32_768)


@contextlib.contextmanager
def claimed_ports(ground: Ground, record: Record) -> Iterator[Callable[[], None]]:
    """Check a container's ports and keep others from starting with ports; yield what publishes them.

    An exception in the body takes them back. A container without ports passes at once. Raises Conflict naming who has a port.
    """
    if not record.ports:
        yield lambda: None
        return
    prefix = ground.settings.network_prefix
    with flock(ground.paths.locks / "ports", what="publishing ports"):
        others = [c for c in running_with_ports(ground) if c.id != record.id]
        check_ports(record.ports, others)
        own = [Publication(mapping=mapping, address=record.address) for mapping in record.ports]
        try:
            yield lambda: firewall.set_published(prefix, [*_publications(others), *own])
        except BaseException:
            with contextlib.suppress(CommandFailed):  # never hides the first failure
                firewall.set_published(prefix, _publications(others))
            raise


def assign_ports(ground: Ground, ports: tuple[PortMapping, ...]) -> tuple[PortMapping, ...]:
    """Put a free port of the host where none was chosen; the container keeps it. Raises HostProblem when there is none."""
    if all(port.host_port for port in ports):
        return ports
    records = [record for home in ground.homes() if (record := read_record(home)) is not None]
    taken = {port.host_port for port in (*ports, *(port for record in records for port in record.ports))}
    chosen = []
    for port in ports:
        number = port.host_port or _free_port(port.protocol, taken)
        taken.add(number)
        chosen.append(replace(port, host_port=number))
    return tuple(chosen)


def _free_port(protocol: str, taken: Collection[int]) -> int:
    for number in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
        if number not in taken and find_listener(protocol, number) is None:
            return number
    raise HostProblem("No port of the host is free", remedy="stop some containers: paas container:ps")


def republish(ground: Ground) -> None:
    """Make the firewall's published ports those of the containers that run."""
    with flock(ground.paths.locks / "ports", what="publishing ports"):
        firewall.set_published(ground.settings.network_prefix, _publications(running_with_ports(ground)))


def check_ports(ports: Iterable[PortMapping], others: Iterable[Container]) -> None:
    """Raise Conflict when a host port is taken by another container or by a process of the host."""
    taken = [(mapping, container) for container in others for mapping in container.ports]
    for port in ports:
        for mapping, container in taken:
            if _overlap(port, mapping):
                raise Conflict(
                    f"Port {port.host_port} of the host is published by container {container.name or container.id}",
                    remedy="choose another port, or stop that container",
                )
        listener = find_listener(port.protocol, port.host_port)
        if listener is not None:
            raise Conflict(
                f"Port {port.host_port} of the host is in use by {listener.name} (pid {listener.pid})",
                remedy="choose another port, or stop that process",
            )


def running_with_ports(ground: Ground) -> list[Container]:
    """Return the running containers that publish ports."""
    found = []
    for home in ground.homes():
        record = read_record(home)
        if record is not None and record.ports:
            container = container_from(home, record)
            if container.is_running:
                found.append(container)
    return found


def _overlap(one: PortMapping, other: PortMapping) -> bool:
    if (one.host_port, one.protocol) != (other.host_port, other.protocol):
        return False
    return one.host_address == other.host_address or _ANY in (one.host_address, other.host_address)


def _publications(containers: Iterable[Container]) -> list[Publication]:
    return [Publication(mapping=mapping, address=c.address) for c in containers for mapping in c.ports]

