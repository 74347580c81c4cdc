"""What a check asks for when it has failed (`onFailure`): a command inside the process's container, then a POST to a URL.

Source: Dokku docker-container-healthchecker, docs/file-format.md, "Failure hooks". What is different: the command runs in the
container instead of on the machine, and the URL cannot be one of the machine's own loopback or of its cloud's metadata: whoever
may push an app is not root.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from paas.engines import Engine
from paas.errors import PaasError
from paas.model.container import Container
from paas.model.healthcheck import Healthcheck
from paas.schedulers.local.deadline import cut_after

COMMAND_TIMEOUT_S, POST_TIMEOUT_S = 30.0, 10.0
_SAID_LINES = 5


def act_on_failure(
    engine: Engine, container: Container, check: Healthcheck, *, title: str, process: str, app: str, problem: str,
    is_allowed: Callable[[str], bool] | None = None,
) -> tuple[str, ...]:
    """Do what the check asks for; return a line for each thing done, its failure included. Raises nothing for these.

    `is_allowed` says to which addresses may be posted (`is_for_apps`).
    """
    said: list[str] = []
    if check.on_failure_command:
        said += _run(engine, container, check.on_failure_command)
    if check.on_failure_url:
        document: dict[str, object] = {"healthcheck_name": title, "errors": [problem], "app": app, "process": process}
        said.append(_post(check.on_failure_url, document, is_allowed or is_for_apps))
    return tuple(f"onFailure of check {title} ({process}): {line}" for line in said)


def _run(engine: Engine, container: Container, command: tuple[str, ...]) -> list[str]:
    line = " ".join(command)
    try:
        code, output = engine.try_command(container.id, command, timeout_s=COMMAND_TIMEOUT_S)
    except PaasError as exc:
        return [f"could not run {line}: {exc.message}"]
    how = f"exited with status {code}" if code is not None else f"did not end within {COMMAND_TIMEOUT_S:g} s"
    return [f"{line} {how}", *output.splitlines()[-_SAID_LINES:]]


def _post(url: str, document: dict[str, object], is_allowed: Callable[[str], bool]) -> str:
    from http.client import HTTPException

    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}"  # the path is often a secret
    try:
        status = _send(url, json.dumps(document).encode(), is_allowed)
    except _RefusedError:
        return f"{where} is this machine's own and not posted to"
    except TimeoutError:
        return f"{where} did not take the POST within {POST_TIMEOUT_S:g} s"
    except (OSError, HTTPException, ValueError) as exc:
        return f"could not POST to {where}: {exc or type(exc).__name__}"
    return f"posted to {where}, which answered {status}"


class _RefusedError(Exception):
    """The address is not for apps."""


def _send(url: str, body: bytes, is_allowed: Callable[[str], bool]) -> int:
    """POST and return the status. Redirects are not followed: they could lead to the machine itself."""
    from http.client import HTTPConnection

    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    peer = _connect(host, parts.port or (443 if is_secure else 80), is_allowed)
    connection = HTTPConnection(host)
    try:
        with cut_after(peer, POST_TIMEOUT_S):
            connection.sock = ssl.create_default_context().wrap_socket(peer, server_hostname=host) if is_secure else peer
            path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
            headers = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json", "User-Agent": "paas-check"}
            connection.request("POST", path, body=body, headers=headers)
            with connection.getresponse() as response:
                return response.status
    finally:
        connection.close()
        peer.close()


def _connect(host: str, port: int, is_allowed: Callable[[str], bool]) -> socket.socket:
    """Connect to the first address that answers. Raises _RefusedError for one that is only this machine's."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not is_allowed(str(address[0])):
            raise _RefusedError
        peer = socket.socket(family, kind, protocol)
        peer.settimeout(POST_TIMEOUT_S)
        try:
            peer.connect(address)
        except OSError as exc:
            failure = exc
            peer.close()
            continue
        return peer
    raise failure or OSError(f"{host} has no address")


def is_for_apps(address: str) -> bool:
    """Say whether an app may have us connect there: its containers could as well."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast)
