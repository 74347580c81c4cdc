"""Routes: ports, domains, upstreams, vhosts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from paas.errors import InvalidInput
from paas.model.process import WEB

#: Where an app listens unless its image EXPOSEs a port (Dokku's default for buildpack apps).
DEFAULT_CONTAINER_PORT = 5000
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_PATH = re.compile(r"(/(?!\.\.?(/|\Z))[A-Za-z0-9._~-]+)+\Z")
DOMAIN = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Backend:
    """What a request is sent to: a container port of a process type. Written `5000` for web, else `web-admin:5000`."""

    process: str = WEB
    port: int

    def __str__(self) -> str:
        return str(self.port) if self.process == WEB else f"{self.process}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMap:
    """`scheme:host:container` of `ports:add`, and the process type that listens on the container port."""

    scheme: str
    host: int
    container: int
    process: str = WEB

    @property
    def backend(self) -> Backend:
        return Backend(process=self.process, port=self.container)

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
class PathRoute:
    """Requests below a path of the app's names go to another process type; `strips_prefix`: it does not see the path."""

    path: str
    backend: Backend
    strips_prefix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Vhost:
    """What the proxy serves for one app: its names on its host ports, and below some paths another process type.

    `own_domains` names process types that answer at names of their own instead of the app's.
    """

    app: str
    domains: tuple[str, ...]
    ports: tuple[PortMap, ...]
    properties: tuple[tuple[str, str], ...] = ()
    own_domains: tuple[tuple[str, tuple[str, ...]], ...] = ()
    paths: tuple[PathRoute, ...] = ()

    def domains_of(self, process: str) -> tuple[str, ...]:
        """Return the names at which a process type answers."""
        return dict(self.own_domains).get(process, self.domains)

    def backends(self) -> tuple[Backend, ...]:
        """Return everything that requests are sent to, web first."""
        found = {*(port.backend for port in self.ports), *(path.backend for path in self.paths)}
        return tuple(sorted(found, key=lambda backend: (backend.process != WEB, backend)))

    def ports_of(self, process: str) -> tuple[int, ...]:
        """Return the container ports of a process type that are routed; the first is its $PORT."""
        mapped = (port.container for port in self.ports if port.process == process)
        below = (path.backend.port for path in self.paths if path.backend.process == process)
        return tuple(dict.fromkeys((*mapped, *below)))


def clashing_ports(vhost: Vhost) -> tuple[PortMap, PortMap] | None:
    """Return two port maps that want the same host port at the same name, or None."""
    seen: dict[tuple[int, str], PortMap] = {}
    for port in vhost.ports:
        for domain in vhost.domains_of(port.process):
            if (port.host, domain) in seen:
                return seen[port.host, domain], port
            seen[port.host, domain] = port
    return None


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


def parse_path(text: str) -> str:
    """Return the path without a slash at its end. Raises InvalidInput."""
    path = text.rstrip("/")
    if len(path) > 200 or not _PATH.match(path):
        raise InvalidInput(f"'{text}' is not a path that can be routed", remedy="e.g. /api or /api/v1")
    return path


def parse_domain(text: str) -> str:
    """Return the domain in lower case; `*.` in front is a wildcard. Raises InvalidInput."""
    if len(text) > 253 or not DOMAIN.match(text):
        raise InvalidInput(f"'{text}' is not a valid domain name", remedy="e.g. shop.example.com or *.example.com")
    return text.lower()


def own_name(process: str) -> str:
    """Return the label before the app's domain at which a type `web-<label>` answers by default; '' for other types."""
    label = process.removeprefix("web-").lower().strip("-")
    return label if process.startswith("web-") and re.fullmatch(_LABEL, label) else ""


def default_ports(exposed: tuple[int, ...], http_port: int) -> tuple[PortMap, ...]:
    """Return the port maps of an app that set none.

    One exposed port, or none, is served on `http_port`: unlike Dokku (EXPOSE 8080 lands on :8080), which is its users'
    most frequent confusion. The first exposed port is $PORT.
    """
    container = exposed[0] if exposed else DEFAULT_CONTAINER_PORT
    return (PortMap(scheme="http", host=http_port, container=container),)
