"""Vhost -> nginx configuration text. Pure but for reading the templates; proxy.py writes and tests the files.

Source: nginx-templates/*.j2; names are checked again here, so that nothing but a name can get into a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from paas.errors import InvalidInput
from paas.model.app import parse_app_name
from paas.model.process import PROCESS_TYPE, WEB
from paas.model.route import Backend, PathRoute, PortMap, Vhost, clashing_ports, parse_domain, parse_path
from paas.proxies.nginx.properties import directives_for, effective_properties

#: Statuses that have a page of ours when nginx itself, not the app, answers with them.
ERROR_STATUSES = (404, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Paths that occur in the configuration."""

    directory: Path
    upstreams: Path
    socket: Path
    logs: Path

    def access_log(self, app: str) -> Path:
        """Return the app's access log."""
        return self.logs / f"{app}-access.log"

    def error_log(self, app: str) -> Path:
        """Return the app's error log."""
        return self.logs / f"{app}-error.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One server block of a vhost: where it listens, for which names, what is behind it, and what below which paths."""

    addresses: tuple[str, ...]
    domains: tuple[str, ...]
    backend: Backend
    paths: tuple[PathRoute, ...]


class Renderer:
    """The templates of one directory."""

    def __init__(self, templates: Path, places: Places, *, has_ipv6: bool) -> None:
        # Imported where it is used: commands that touch no route start without it.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        self._environment = Environment(
            loader=FileSystemLoader(templates), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
        )
        self._places = places
        self._has_ipv6 = has_ipv6

    def vhost(self, vhost: Vhost) -> str:
        """Return the text of an app's vhost. Raises InvalidInput, InvalidSetting."""
        app = parse_app_name(vhost.app)
        values = effective_properties(vhost.properties)
        listeners = self._listeners(vhost)
        return self._render(
            "vhost.conf.j2",
            app=app,
            backends=sorted({b for one in listeners for b in (one.backend, *(path.backend for path in one.paths))}),
            listeners=listeners,
            name_of=lambda backend: upstream_name(app, backend),
            access_log=self._places.access_log(app),
            error_log=self._places.error_log(app),
            errors=self._places.directory / "errors",
            error_statuses=ERROR_STATUSES,
            server_directives=directives_for(values),
            forwarded={
                "address": values["x-forwarded-for-value"],
                "port": values["x-forwarded-port-value"],
                "scheme": values["x-forwarded-proto-value"],
            },
        )

    def _listeners(self, vhost: Vhost) -> tuple[Listener, ...]:
        paths = tuple(replace(path, path=parse_path(path.path)) for path in vhost.paths)
        return tuple(
            Listener(
                addresses=listen_addresses(port.host, self._has_ipv6),
                domains=tuple(parse_domain(domain) for domain in vhost.domains_of(port.process)),
                backend=port.backend,
                paths=paths if port.process == WEB else (),
            )
            for port in http_ports(vhost)
            if vhost.domains_of(port.process)
        )

    def error_page(self, status: int) -> str:
        """Return the page that visitors see for a status of ERROR_STATUSES."""
        return self._render(f"errors/{status}.html.j2", status=status)

    def default_server(self, ports: Iterable[int], taken: frozenset[str]) -> str:
        """Return the server for names that nobody has, on these ports; `taken` addresses have a default server already."""
        addresses = [a for port in sorted(set(ports)) for a in listen_addresses(port, self._has_ipv6) if a not in taken]
        return self._render("default.conf.j2", addresses=addresses)

    def shared(self, *, claims_hash_sizes: bool) -> str:
        """Return what stands at http level once."""
        places = self._places
        return self._render(
            "paas.conf.j2",
            claims_hash_sizes=claims_hash_sizes,
            directory=places.directory,
            upstreams=places.upstreams,
            socket=places.socket,
        )

    def preload(self) -> None:
        """Compile the template that every change needs; it stays compiled."""
        self._environment.get_template("vhost.conf.j2")

    def _render(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(values)


def http_ports(vhost: Vhost) -> tuple[PortMap, ...]:
    """Return the port maps that are served. Raises InvalidInput when a name has a host port twice."""
    if clashing_ports(vhost):
        raise InvalidInput(f"A host port of {vhost.app} is mapped twice", remedy=f"see: paas ports:report {vhost.app}")
    return tuple(port for port in vhost.ports if port.scheme == "http")


def upstream_name(app: str, backend: Backend) -> str:
    """Return what nginx calls the peers of a backend: no name of an app holds a `_`. Raises InvalidInput."""
    if not PROCESS_TYPE.match(backend.process):
        raise InvalidInput(f"'{backend.process}' is not a process type")
    own = "" if backend.process == WEB else f"_{backend.process}_"
    return f"paas-{app}{own or '-'}{backend.port}"


def listen_addresses(port: int, has_ipv6: bool) -> tuple[str, ...]:
    """Return the listen arguments for a port on all addresses."""
    return (str(port), f"[::]:{port}") if has_ipv6 else (str(port),)
