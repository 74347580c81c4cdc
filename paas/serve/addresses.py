"""Where the server is found: its pid file, which one server holds at a time, its local socket, its SSH port."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from paas.errors import Conflict, HostProblem
from paas.settings import Settings

_BACKLOG = 512


@contextlib.contextmanager
def only_server(pid_file: Path) -> Iterator[None]:
    """Hold the pid file's lock, which ends with this process. Raises Conflict when another server holds it."""
    descriptor = os.open(pid_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = pid_file.read_text().strip()
            raise Conflict(f"The server runs already (pid {pid})", remedy="to start it anew: paas serve --stop") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def server_pid(pid_file: Path) -> int:
    """Return the pid of the server that holds the pid file, 0 if none does."""
    try:
        descriptor = os.open(pid_file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 32, 0) or 0)
    finally:
        os.close(descriptor)
    return 0


@contextlib.contextmanager
def local_socket(path: Path) -> Iterator[socket.socket]:
    """Listen where local clients come; the path appears only once somebody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        listener.bind(str(temporary))
        temporary.chmod(0o666)  # who may do what is decided by the peer's credentials
        listener.listen(_BACKLOG)
        temporary.rename(path)
        yield listener
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def ssh_socket(settings: Settings) -> Iterator[socket.socket | None]:
    """Listen for SSH, or not if the port is 0. Raises HostProblem."""
    if not settings.ssh_port:
        yield None
        return
    try:
        listener = _listen(settings.ssh_address, settings.ssh_port)
    except OSError as exc:
        raise HostProblem(
            f"Could not listen for SSH on port {settings.ssh_port}: {exc.strerror or exc}",
            remedy="stop what has the port, or set another ssh-port in paas.toml",
        ) from exc
    with listener:
        yield listener


def _listen(address: str, port: int) -> socket.socket:
    if address:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, port), family=family, backlog=_BACKLOG)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=_BACKLOG)
