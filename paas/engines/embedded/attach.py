"""Joining a container's streams through conmon's attach socket, and running one more process with a terminal.

conmon's socket is SOCK_SEQPACKET: each packet out is one byte (2 stdout, 3 stderr) and up to 8192 bytes; in are plain bytes.
Source: conmon.c, conn_sock.c; console sockets: OCI runc docs/terminals.md.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from paas.engines import Stdio
from paas.engines.embedded.terminal import WindowSize, followed_size, raw_mode, relay, set_window_size, write_all
from paas.errors import Conflict, HostProblem
from paas.host.run import spawn

_STDERR = 3
_CONSOLE_TIMEOUT_S = 30


@contextlib.contextmanager
def attached(sockets: Path, container: str) -> Iterator[socket.socket]:
    """Connect to a running container's streams. Raises Conflict when its conmon is not there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with connection:
        try:
            connection.connect(str(sockets / container / "attach"))
        except OSError as exc:
            raise Conflict(f"Container {container} can not be attached to: {exc.strerror}", remedy="is it running?") from exc
        yield connection


def close_stdin(sockets: Path, container: str) -> None:
    """Let a container find its input empty: conmon closes it when the first who attached goes away."""
    with attached(sockets, container):
        pass


def join_streams(connection: socket.socket, home: Path, stdio: Stdio, *, has_terminal: bool, sends_stdin: bool) -> None:
    """Copy between the caller's descriptors and a container until its streams end."""
    stdin = stdio.stdin if sends_stdin else -1

    def send(keys: bytes) -> None:
        if keys:
            connection.sendall(keys)
        else:
            connection.shutdown(socket.SHUT_WR)

    def show(packet: bytes) -> bytes:
        if packet[0] == _STDERR:
            write_all(stdio.stderr, packet[1:])
            return b""
        return packet[1:]

    if not has_terminal:
        relay(stdin, stdio.stdout, connection.fileno(), send, show, ends_unread=True)
        return
    with raw_mode(stdio.stdin), followed_size(stdio.stdin, lambda size: resize(home, size)):
        relay(stdin, stdio.stdout, connection.fileno(), send, show)


def run_with_console(argv_for: Callable[[Path], Sequence[str]], program: Path, stdio: Stdio) -> int:
    """Run a runtime command whose process gets a new terminal, joined to stdio's; return its exit code."""
    with tempfile.TemporaryDirectory(prefix="paas-console-") as directory:
        path = Path(directory, "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(_CONSOLE_TIMEOUT_S)
            process = spawn(argv_for(path), stderr=stdio.stderr, program=program)
            try:
                master = _receive_terminal(listener, process.poll)
                if master >= 0:
                    _join_terminal(master, stdio)
                return process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise


def _join_terminal(master: int, stdio: Stdio) -> None:
    try:
        with raw_mode(stdio.stdin), followed_size(stdio.stdin, lambda size: set_window_size(master, size)):
            relay(stdio.stdin, stdio.stdout, master, lambda keys: keys and os.write(master, keys), lambda piece: piece)
    finally:
        os.close(master)


def _receive_terminal(listener: socket.socket, poll: Callable[[], int | None]) -> int:
    """Return the master of the terminal that the runtime made; -1 when the runtime ended without making one."""
    listener.settimeout(0.05)
    for _ in range(_CONSOLE_TIMEOUT_S * 20):
        try:
            connection, _address = listener.accept()
        except TimeoutError:
            if poll() is not None:
                return -1
            continue
        with connection:
            connection.settimeout(_CONSOLE_TIMEOUT_S)
            _message, descriptors, _flags, _sender = socket.recv_fds(connection, 4096, 1)
            return descriptors[0] if descriptors else -1
    raise HostProblem("The container runtime gave no terminal", remedy="run: paas doctor")


def resize(home: Path, size: WindowSize) -> None:
    """Tell a container's conmon the size of its terminal."""
    with contextlib.suppress(OSError):  # it has just ended
        descriptor = os.open(home / "winsz", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{size.rows} {size.columns}\n".encode())
        finally:
            os.close(descriptor)
