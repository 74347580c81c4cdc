"""The SSH server: lets keys in, takes commands, hands them to the executor.

Runs as the unprivileged user of the repositories and knows no app, no command, no secret but its host keys. There are no
passwords, no shell, no forwarding, no subsystems.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import paramiko
from paramiko import AUTH_FAILED, AUTH_SUCCESSFUL, Channel, PKey, ServerInterface, Transport

from paas.gateway.admission import Admission
from paas.gateway.authorized import AuthorizedKeys
from paas.gateway.session import FORWARDED_ENV, Session, Terminal
from paas.settings import Settings

#: From the connection to the first channel.
LOGIN_TIMEOUT_S = 30.0
KEEPALIVE_S = 30
#: When the server stops, commands have so long to end.
FINISH_TIMEOUT_S = 30.0
MIN_RSA_BITS = 2048
MAX_CHANNELS = 10
#: Broken or outdated: SHA-1, MD5, CBC (RFC 9142; OpenSSH offers none of them by default).
_DISABLED = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-sha1", "hmac-sha1-96", "hmac-md5", "hmac-md5-96"],
    "kex": ["diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha256"],
}


class Gateway:
    """Accepts connections on a listening socket until stopped; one thread for each connection, two for each command."""

    def __init__(self, listener: socket.socket, *, host_keys: Sequence[PKey], settings: Settings,
                 authorized: AuthorizedKeys, executor: Path) -> None:
        self._listener, self._host_keys, self._user = listener, host_keys, settings.user
        self._authorized, self._executor = authorized, executor
        self._admission = Admission(
            max_connections=settings.ssh_max_connections, attempts_per_minute=settings.ssh_attempts_per_minute
        )
        self._stop_reader, self._stop_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._connections: set[Connection] = set()

    def stop(self) -> None:
        """Accept no more; `serve` returns when the commands under way have ended, or after a while."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._stop_writer, b"x")

    def serve(self) -> None:
        """Accept connections until stopped."""
        self._listener.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            stopping = selector.register(self._stop_reader, selectors.EVENT_READ)
            while stopping not in [key for key, _ in selector.select()]:
                self._accept()
        self._listener.close()
        until = time.monotonic() + FINISH_TIMEOUT_S
        while any(c.has_sessions for c in list(self._connections)) and time.monotonic() < until:
            time.sleep(0.05)
        for connection in list(self._connections):
            connection.transport.close()

    def _accept(self) -> None:
        try:
            client, address = self._listener.accept()
        except OSError:
            return  # it left again, or we are out of descriptors: the others matter more
        host = str(address[0]).removeprefix("::ffff:")
        refusal = self._admission.admit(host, time.monotonic())
        if refusal:
            client.close()
            return
        client.setblocking(True)
        threading.Thread(target=self._converse, args=(client, host), daemon=True).start()

    def _converse(self, client: socket.socket, host: str) -> None:
        """Hold one connection to its end."""
        connection: Connection | None = None
        try:
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connection = Connection(client, user=self._user, authorized=self._authorized, executor=self._executor)
                self._connections.add(connection)
                connection.hold(self._host_keys, on_login=lambda name: self._note_login(host, name))
        except (paramiko.SSHException, OSError, EOFError):
            pass  # scanners, and clients that went away
        finally:
            if connection is not None:
                self._connections.discard(connection)
                connection.transport.close()
            self._admission.note_end()

    def _note_login(self, host: str, name: str) -> None:
        self._admission.note_login(host)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"ssh: {name} logged in from {host}\n")


class Connection(ServerInterface):  # type: ignore[misc]
    """One client: its login, then its channels. paramiko calls the check_ methods from its own thread."""

    def __init__(self, client: socket.socket, *, user: str, authorized: AuthorizedKeys, executor: Path) -> None:
        self._user, self._authorized, self._executor = user, authorized, executor
        self._key_name = ""
        self._terminals: dict[int, Terminal] = {}
        self._env: dict[int, dict[str, str]] = {}
        self._sessions: dict[int, Session] = {}
        self.transport = Transport(client, disabled_algorithms=_DISABLED)
        self.transport.local_version = "SSH-2.0-paas"

    @property
    def has_sessions(self) -> bool:
        """Say whether a command of this client runs."""
        return any(session.is_running for session in list(self._sessions.values()))

    def hold(self, host_keys: Sequence[PKey], on_login: Callable[[str], None]) -> None:
        """Let the client in and serve its channels until it leaves. Raises SSHException."""
        for key in host_keys:
            self.transport.add_server_key(key)
        self.transport.start_server(event=threading.Event(), server=self)
        channels = [self.transport.accept(LOGIN_TIMEOUT_S)]
        if channels == [None]:
            return
        on_login(self._key_name)
        self.transport.set_keepalive(KEEPALIVE_S)
        while self.transport.is_active():
            # paramiko refers to a channel only weakly: without ours it would be closed before its command comes.
            channels.append(self.transport.accept(KEEPALIVE_S))
            channels = [channel for channel in channels if channel is not None and not channel.closed]

    # -- login

    def get_allowed_auths(self, username: str) -> str:
        """Offer keys only."""
        return "publickey"

    def check_auth_publickey(self, username: str, key: PKey) -> int:
        """Accept the keys of authorized_keys for our one user. Also asked before the client has signed anything.

        The name noted last is that of the key whose signature was verified: after a success paramiko asks no more.
        """
        is_weak = key.get_name() == "ssh-rsa" and key.get_bits() < MIN_RSA_BITS
        name = "" if is_weak or username != self._user else self._authorized.name_of(key.get_name(), key.get_base64())
        self._key_name = name
        return AUTH_SUCCESSFUL if name else AUTH_FAILED  # type: ignore[no-any-return]

    # -- channels

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Allow sessions; no forwarding of any kind is one."""
        if kind != "session" or len(self._sessions) >= MAX_CHANNELS:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED  # type: ignore[no-any-return]
        return paramiko.OPEN_SUCCEEDED  # type: ignore[no-any-return]

    def check_channel_env_request(self, channel: Channel, name: bytes, value: bytes) -> bool:
        """Take the few variables that commands know."""
        variable = name.decode(errors="replace")
        if variable not in FORWARDED_ENV or len(value) > 1024:
            return False
        self._env.setdefault(channel.get_id(), {})[variable] = value.decode(errors="replace")
        return True

    def check_channel_pty_request(
        self, channel: Channel, term: bytes, width: int, height: int, pixelwidth: int, pixelheight: int, modes: bytes
    ) -> bool:
        """Note that the command should have a terminal, of this size."""
        self._terminals[channel.get_id()] = Terminal(name=term.decode(errors="replace"), columns=width, rows=height)
        return True

    def check_channel_window_change_request(
        self, channel: Channel, width: int, height: int, pixelwidth: int, pixelheight: int
    ) -> bool:
        """Pass the terminal's new size on."""
        session = self._sessions.get(channel.get_id())
        return session is not None and session.resize(columns=width, rows=height)

    def check_channel_exec_request(self, channel: Channel, command: bytes) -> bool:
        """Run a command."""
        return self._start(channel, command.decode(errors="surrogateescape"))

    def check_channel_shell_request(self, channel: Channel) -> bool:
        """Show what commands there are: there is no shell."""
        return self._start(channel, "")

    def _start(self, channel: Channel, command: str) -> bool:
        if channel.get_id() in self._sessions:
            return False  # one command for each channel (RFC 4254, 6.5)
        terminal = self._terminals.get(channel.get_id())
        env = self._env.get(channel.get_id(), {})
        session = Session(channel, command=command, key_name=self._key_name, terminal=terminal, env=env)
        self._sessions[channel.get_id()] = session
        session.start(self._executor, on_end=lambda: self._forget(channel.get_id()))
        return True

    def _forget(self, channel_id: int) -> None:
        self._sessions.pop(channel_id, None)
        self._terminals.pop(channel_id, None)
        self._env.pop(channel_id, None)
