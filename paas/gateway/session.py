"""One command of an SSH client: pipes or a terminal between its channel and the executor, and the exit code back.

Two threads: one for what the client sends, one for what the command writes. When the client goes away, the executor is told
and the output is read on to nowhere, so that a command that must finish (a push) never stops at a full pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paramiko import Channel

from paas.cli.client import SERVER_GONE, open_command, send_signal

#: Variables that an SSH client may set.
FORWARDED_ENV = frozenset({"GIT_PROTOCOL", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR", "COLORTERM", "PAAS_TRACE"})
_CHUNK_BYTES = 1 << 16
#: A pack comes faster than git takes it in; the kernel's default is 64 KiB.
_PIPE_BYTES = 1 << 18
#: Erase whole characters (termios(3)); Python has no name for it.
_IUTF8 = 0o40000


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What the client said about its terminal."""

    name: str
    columns: int
    rows: int


#: Where output goes: a descriptor of ours -> how its bytes reach the client.
Outlets = Mapping[int, Callable[[bytes], object]]


class Session:
    """A command and its channel."""

    def __init__(
        self, channel: Channel, *, command: str, key_name: str, terminal: Terminal | None, env: Mapping[str, str]
    ) -> None:
        self._channel, self._terminal = channel, terminal
        self._request = {"command": command, "as": key_name, "env": {**env, **({"TERM": terminal.name} if terminal else {})}}
        self._lock = threading.Lock()
        self._master = -1
        self._has_client = True
        self.is_running = True

    def start(self, executor: Path, *, on_end: Callable[[], None]) -> None:
        """Run the command in threads of its own."""

        def hold() -> None:
            try:
                self._hold(executor)
            except OSError as exc:
                self._finish({"exit": SERVER_GONE, "error": f"The server does not answer: {exc.strerror or exc}"})
            finally:
                self.is_running = False
                on_end()

        threading.Thread(target=hold, daemon=True).start()

    def resize(self, *, columns: int, rows: int) -> bool:
        """Give the command's terminal another size; say whether it has one."""
        with self._lock, contextlib.suppress(OSError):
            if self._master >= 0:
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                return True
        return False

    def _hold(self, executor: Path) -> None:
        """Connect all ends, move bytes until the command has ended, report how."""
        remote, inlet, outlets = self._terminal_ends() if self._terminal else self._pipe_ends()
        try:
            with self._handed_over(executor, remote, inlet) as control:
                threading.Thread(target=self._feed, args=(inlet, control), daemon=True).start()
                answer = self._pump(control, outlets)
        finally:
            with self._lock:
                self._master = -1
            for descriptor in outlets:
                os.close(descriptor)
        self._finish(json.loads(answer) if answer else {"exit": SERVER_GONE, "error": "The server ended before the command did"})

    def _handed_over(self, executor: Path, remote: tuple[int, int, int], inlet: int) -> socket.socket:
        """Send the request with the ends that are the command's; close them here, and our inlet too when nobody takes them."""
        try:
            return open_command(str(executor), self._request, remote)
        except BaseException:
            os.close(inlet)
            raise
        finally:
            for descriptor in set(remote):
                os.close(descriptor)

    def _pipe_ends(self) -> tuple[tuple[int, int, int], int, Outlets]:
        """Return stdin, stdout, stderr for the command, and our ends of them."""
        (stdin, inlet), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        for descriptor in (inlet, stdout):
            with contextlib.suppress(OSError):  # over the user's limit for pipes: they stay small
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return (stdin, stdout, stderr), inlet, {out: self._channel.sendall, err: self._channel.sendall_stderr}

    def _terminal_ends(self) -> tuple[tuple[int, int, int], int, Outlets]:
        assert self._terminal is not None
        master, slave = os.openpty()
        self._master = master
        self.resize(columns=self._terminal.columns, rows=self._terminal.rows)
        modes = termios.tcgetattr(slave)
        modes[0] |= _IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        return (slave, slave, slave), os.dup(master), {master: self._channel.sendall}

    def _feed(self, inlet: int, control: socket.socket) -> None:
        """Hand the command what the client sends; when the client is gone, say so. The only one who uses and closes `inlet`."""
        try:
            while received := self._channel.recv(_CHUNK_BYTES):
                view = memoryview(received)
                while view:
                    view = view[os.write(inlet, view) :]
        except OSError:
            pass  # the command reads no more
        finally:
            os.close(inlet)
        self._channel.status_event.wait()  # paramiko sets it when the channel closes, from whichever side
        if self.is_running:
            send_signal(control, "HUP")

    def _pump(self, control: socket.socket, outlets: Outlets) -> bytes:
        """Send on what the command writes until it has ended; return the executor's answer, b'' if there was none."""
        poll = select.poll()
        for descriptor in (*outlets, control.fileno()):
            poll.register(descriptor, select.POLLIN)
        answer = b""
        while True:
            for descriptor, _ in poll.poll():
                if descriptor != control.fileno():
                    self._pass_on(poll, descriptor, outlets[descriptor])
                    continue
                received = _receive(control)
                answer += received
                if not received or answer.endswith(b"\n"):
                    poll.unregister(descriptor)
                    # What the command wrote is in the pipes by now; what it left running may hold them open for ever.
                    while ready := [d for d, event in poll.poll(0) if event & select.POLLIN]:
                        for outlet in ready:
                            self._pass_on(poll, outlet, outlets[outlet])
                    return answer if answer.endswith(b"\n") else b""

    def _pass_on(self, poll: select.poll, outlet: int, send: Callable[[bytes], object]) -> None:
        try:
            output = os.read(outlet, _CHUNK_BYTES)
        except OSError:
            output = b""  # EIO: the last process has closed the terminal
        if not output:
            poll.unregister(outlet)
        elif self._has_client:
            try:
                send(output)
            except OSError:
                self._has_client = False  # from here on to nowhere

    def _finish(self, result: Mapping[str, Any]) -> None:
        """Tell the client how the command ended, and close the channel."""
        end = "\r\n" if self._terminal else "\n"
        lines = [f" !     {result['error']}"] if result.get("error") else []
        lines += [f"       {result['remedy']}"] if result.get("remedy") else []
        with contextlib.suppress(OSError, EOFError):
            if lines:
                self._channel.sendall_stderr(end.join([*lines, ""]).encode())
            self._channel.send_exit_status(int(result["exit"]))
            self._channel.close()


def _receive(control: socket.socket) -> bytes:
    try:
        return control.recv(_CHUNK_BYTES)
    except ConnectionError:
        return b""
