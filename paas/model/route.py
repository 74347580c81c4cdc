"""Routes: ports, domains, upstreams, vhosts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from paas.errors import InvalidInput
from paas.model.process import WEB

#: Where an app listens unless its image EXPOSEs a port (Dokku's default for buildpack apps).
DEFAULT_CONTAINER_PORT = 5000
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
DOMAIN = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMap:
    """`scheme:host:container` of `ports:add`, and the process type that listens on the container port."""

    scheme: str
    host: int
    container: int
    process: str = WEB

    def __str__(self) -> str:
        return f"{self.scheme}:{self.host}:{self.container}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Upstream:
    """Where one web process listens."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vhost:
    """What the proxy serves for one app: its names on its host ports.

    `upstreams` are per container port; a port without upstreams answers with the 502 page.
    """

    app: str
    domains: tuple[str, ...]
    ports: tuple[PortMap, ...]
    properties: tuple[tuple[str, str], ...] = ()


def parse_port_map(text: str) -> PortMap:
    """Parse `http:80:5000`. Raises InvalidInput."""
    parts = text.split(":")
    if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
        raise InvalidInput(f"'{text}' is not a port map", remedy="write scheme:host-port:container-port, e.g. http:80:5000")
    if parts[0] != "http":
        raise InvalidInput(f"'{parts[0]}' is not a scheme that is routed", remedy=f"use http:{parts[1]}:{parts[2]}")
    host, container = int(parts[1]), int(parts[2])
    for port in (host, container):
        if not 1 <= port <= 65535:
            raise InvalidInput(f"{port} is not a port", remedy="use 1 to 65535")
    return PortMap(scheme=parts[0], host=host, container=container)


def parse_domain(text: str) -> str:
    """Return the domain in lower case; `*.` in front is a wildcard. Raises InvalidInput."""
    if len(text) > 253 or not DOMAIN.match(text):
        raise InvalidInput(f"'{text}' is not a valid domain name", remedy="e.g. shop.example.com or *.example.com")
    return text.lower()


def default_ports(exposed: tuple[int, ...], http_port: int) -> tuple[PortMap, ...]:
    """Return the port maps of an app that set none.

    One exposed port, or none, is served on `http_port`: unlike Dokku (EXPOSE 8080 lands on :8080), which is its users'
    most frequent confusion. The first exposed port is $PORT.
    """
    container = exposed[0] if exposed else DEFAULT_CONTAINER_PORT
    return (PortMap(scheme="http", host=http_port, container=container),)
