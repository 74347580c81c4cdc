"""The caller's SSH agent, lent to one step: a socket of our own whose connections are passed on to the agent's.

The step gets no path of the host and no key; when it is over, the socket is gone. Source: Dockerfile reference,
"RUN --mount=type=ssh".
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from paas.errors import HostProblem, InvalidInput
from paas.host.run import PIPE, spawn

_PIECE = 64 * 1024
_MAX_CONNECTIONS = 64
_CONNECT_TIMEOUT_S = 5


@contextlib.contextmanager
def lent_agent(agent: Path, path: Path, *, owner: tuple[int, int] = (0, 0), mode: int = 0o600) -> Iterator[Path]:
    """Listen at `path` for as long as the block lasts. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, contextlib.ExitStack() as stack:
        listener.bind(str(path))
        stack.callback(path.unlink, missing_ok=True)
        os.chown(path, *owner)
        path.chmod(mode)
        listener.listen(_MAX_CONNECTIONS)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, reading)
        thread = threading.Thread(target=_Relay(agent, listener, reading).serve, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(os.close, writing)  # first of all: it tells the thread to end
        yield path


@contextlib.contextmanager
def own_agent(keys: Sequence[Path], path: Path) -> Iterator[Path]:
    """Run an agent with these keys at `path` for as long as the block lasts. Raises InvalidInput for a key it does not take.

    It ends by itself when we are killed: the program that it looks after waits for the end of our pipe.
    """
    waiting = ("sh", "-c", "echo $SSH_AGENT_PID; exec cat >/dev/null")
    with spawn(["ssh-agent", "-a", str(path), *waiting], stdin=PIPE, stdout=PIPE) as program:
        assert program.stdout is not None
        said = program.stdout.readline()
        try:
            if not said.strip():
                raise HostProblem("ssh-agent does not start", remedy="apt-get install openssh-client")
            for key in keys:
                _add_key(key, path)
            yield path
        finally:
            if said.strip():
                _end(int(said))


def _end(agent: int) -> None:
    """End the agent, and wait until it has: it is the child of the program, not ours."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(agent)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            select.select([pidfd], [], [], _CONNECT_TIMEOUT_S)
        finally:
            os.close(pidfd)


def _add_key(key: Path, agent: Path) -> None:
    """Give a key by its content: whoever may read it, and asks for this, may use it, whatever its permissions are."""
    env = {**os.environ, "SSH_AUTH_SOCK": str(agent), "SSH_ASKPASS_REQUIRE": "never"}
    with key.open("rb") as content, spawn(["ssh-add", "-q", "-"], stdin=content.fileno(), stderr=PIPE, env=env,
                                          new_session=True) as adding:
        said = adding.communicate()[1].decode(errors="replace").strip().splitlines()
        if adding.returncode != 0:
            reason = said[-1] if said else "ssh-add failed"
            raise InvalidInput(
                f"The SSH key {key} cannot be used: {'it has a passphrase' if 'passphrase' in reason else reason}",
                remedy="a key with a passphrase needs an agent: eval $(ssh-agent); ssh-add; then --ssh default",
            )


def is_agent(path: Path) -> bool:
    """Say whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_TIMEOUT_S)
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return True


class _Relay:
    """Pairs of connections, one of a client and one to the agent; a piece that came from one is sent to the other."""

    def __init__(self, agent: Path, listener: socket.socket, end: int) -> None:
        self._agent, self._listener, self._end = agent, listener, end
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}

    def serve(self) -> None:
        """Pass on until the other end of the pipe is closed."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._end, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._end:
                    self._close_all()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                    self._pass_on(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        for connection in (client, agent):
            connection.settimeout(_CONNECT_TIMEOUT_S)
        try:
            if len(self._peers) >= 2 * _MAX_CONNECTIONS:
                raise ConnectionRefusedError
            agent.connect(str(self._agent))
        except OSError:
            client.close()
            agent.close()
            return
        for one, other in ((client, agent), (agent, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, connection: socket.socket) -> None:
        try:
            piece = connection.recv(_PIECE)
            if piece:
                self._peers[connection].sendall(piece)
                return
        except OSError:
            pass  # either side is gone: so is the pair
        for one in (connection, self._peers[connection]):
            self._selector.unregister(one)
            del self._peers[one]
            one.close()

    def _close_all(self) -> None:
        for connection in self._peers:
            connection.close()
        self._selector.close()
