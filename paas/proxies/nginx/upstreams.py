"""Upstreams in nginx's memory, changed through its unix socket, and their files that nginx reads when it starts.

The text is the same in both: one line `<backend> <address>:<port>` for each peer, `<backend> none` where there should be one
(nginx-templates/lua/paas.lua).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.errors import RoutingFailed
from paas.host.files import atomic_write
from paas.model.route import Upstream

#: nginx answers in well under a millisecond; a machine that swaps may need more.
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Which configuration a worker runs, and the pid of its master."""

    generation: str
    master: int


class UpstreamStore:
    """The upstreams of all apps."""

    def __init__(self, *, files: Path, control: Path) -> None:
        self._files = files
        self._control = control

    def status(self) -> Status | None:
        """Return what runs, or None when nginx is down or does not read our configuration."""
        answer = self._ask("GET", "/status")
        if answer is None:
            return None
        generation, master = answer.split()
        return Status(generation=generation, master=int(master))

    def read(self, app: str) -> str:
        """Return the app's upstreams as they are on disk, '' if it has none."""
        try:
            return (self._files / app).read_text()
        except FileNotFoundError:
            return ""

    def persist(self, app: str, text: str) -> None:
        """Write what nginx reads when it starts."""
        if self.read(app) != text or not (self._files / app).exists():
            atomic_write(self._files / app, text, mode=0o600)

    def push(self, app: str, text: str) -> None:
        """Let every new request go by this text. Nothing to do while nginx is down: it reads the file when it starts."""
        self._ask("PUT", f"/upstreams/{app}", text)

    def current(self, app: str) -> str:
        """Return what nginx goes by now; the file's text while it is down."""
        answer = self._ask("GET", f"/upstreams/{app}")
        return self.read(app) if answer is None else answer

    def remove(self, app: str) -> None:
        """Forget an app."""
        (self._files / app).unlink(missing_ok=True)
        self._ask("DELETE", f"/upstreams/{app}")

    def apps(self) -> frozenset[str]:
        """Return the apps that have a file."""
        with contextlib.suppress(FileNotFoundError):
            return frozenset(file.name for file in self._files.iterdir() if not file.name.startswith("."))
        return frozenset()

    def in_flight(self, upstream: Upstream) -> int:
        """Return how many requests this upstream is answering; 0 when nginx is down."""
        return int(self._ask("GET", f"/in-flight/{_peer(upstream)}") or 0)

    def _ask(self, method: str, path: str, body: str = "") -> str | None:
        """Return the answer's body, or None when nobody answers. Raises RoutingFailed."""
        request = f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        answer = b""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            try:
                connection.connect(str(self._control))
                connection.sendall(request)
                while piece := connection.recv(65536):
                    answer += piece
            except (FileNotFoundError, ConnectionError):
                return None
            except TimeoutError as exc:
                raise RoutingFailed(f"nginx does not answer on {self._control}", remedy="run: paas doctor") from exc
        head, _, text = answer.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        if status is None:
            return None  # it ended while it answered
        if not status[1].startswith(b"2"):
            problem = "has no memory left for upstreams" if status[1] == b"507" else f"answered {status[1].decode()}"
            raise RoutingFailed(f"nginx {problem}: {method} {path}", remedy="look into nginx's error log")
        return text.decode()


def upstream_text(upstreams: Mapping[str, Sequence[Upstream]]) -> str:
    """Return the lines for an app's upstreams. Pure."""
    return "".join(
        f"{backend} {peer}\n" for backend in sorted(upstreams) for peer in [_peer(u) for u in upstreams[backend]] or ["none"]
    )


def with_missing_backends(text: str, before: str) -> str:
    """Return `text` with the lines of those backends that only `before` has. Pure."""
    backends = {line.split()[0] for line in text.splitlines()}
    return text + "".join(f"{line}\n" for line in before.splitlines() if line.split()[0] not in backends)


def _peer(upstream: Upstream) -> str:
    """Return `address:port` with a checked address: nothing else may get into nginx's memory."""
    return f"{ipaddress.IPv4Address(upstream.address)}:{upstream.port}"
