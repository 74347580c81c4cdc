"""The executor: one process per command that arrives on the unix socket. One thread, one selector, no waiting.

Everything is imported before the first fork, and one process is forked ahead (spare.py), so a command starts at once and
shares our memory. What a command does, it does in its own process: a crash, a leak or a signal there hurts nobody here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paas.context import Identity
from paas.errors import Conflict, HostProblem, PaasError, UsageError
from paas.serve.command import Runner
from paas.serve.peers import identify, peer_of
from paas.serve.request import MAX_REQUEST_BYTES, Request, parse_request
from paas.serve.spare import Reserve
from paas.serve.stop import StopSignal

#: Commands under way at once; each is a process.
MAX_COMMANDS = 128
#: A client has so long to send its request.
REQUEST_TIMEOUT_S = 10.0
#: When the server stops, commands that change something have so long to finish; then they are cut.
FINISH_TIMEOUT_S = 30.0
#: From SIGTERM to SIGKILL for those that are cut.
CUT_TIMEOUT_S = 3.0
_DESCRIPTORS = 3
#: A line that asks for a signal is shorter; no client makes us keep more.
_MAX_SIGNAL_BYTES = 256


@dataclass(eq=False, slots=True, kw_only=True)
class Session:
    """One client: first its request arrives, then its command runs (`pid`), then it gets the exit code.

    `channel` brings that code; `asker_group` is the process group of the client, which tells of which command it is a part.
    """

    connection: socket.socket
    since: float
    received: bytes = b""
    descriptors: list[int] = field(default_factory=list)
    request: Request | None = None
    asker_group: int = 0
    pid: int = 0
    pidfd: int = -1
    channel: socket.socket | None = None


class Executor:
    """Serve a listening socket until told to stop.

    `user` may speak for SSH keys; `run` runs one command and returns its exit code; `poke` is called after each command that
    may have changed an app; `rehearsal` is a command that changes nothing.
    """

    def __init__(
        self, listener: socket.socket, *, user: str, run: Runner, poke: Callable[[], None], rehearsal: Sequence[str] = ()
    ) -> None:
        self._listener, self._user, self._poke = listener, user, poke
        self._selector = selectors.DefaultSelector()
        self._reserve = Reserve(run, self._selector, rehearsal)
        self._sessions: set[Session] = set()

    def serve(self, stop: StopSignal) -> None:
        """Accept and run commands; when `stop` comes, accept no more, let commands finish within bounds, return."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(stop, selectors.EVENT_READ, None)
        while not stop.is_set:
            self._turn(min(1.0 if self._waiting() else math.inf, self._reserve.wait_s))
            self._drop_silent_clients()
            self._reserve.refill()
        self._selector.unregister(self._listener)
        self._selector.unregister(stop)
        self._reserve.drop()
        self._finish()

    def _turn(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(None if timeout_s == math.inf else timeout_s):
            # An event before this one may have ended its session.
            if key.data is not None and self._selector.get_map().get(key.fd) is key:
                key.data()

    # -- a client comes

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it left again, or we are out of descriptors: the others matter more
        connection.setblocking(False)
        session = Session(connection=connection, since=time.monotonic())
        self._sessions.add(session)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read_request(session))

    def _read_request(self, session: Session) -> None:
        try:
            received, descriptors, _, _ = socket.recv_fds(session.connection, 1 << 16, _DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            received, descriptors = b"", []
        session.descriptors += descriptors
        session.received += received
        line, newline, rest = session.received.partition(b"\n")
        if newline:
            session.received = rest
            self._answer_request(session, line)
        elif not received or len(session.received) > MAX_REQUEST_BYTES or len(session.descriptors) > _DESCRIPTORS:
            self._forget(session)

    def _answer_request(self, session: Session, line: bytes) -> None:
        try:
            request, identity = self._admit(session, line)
            self._start(session, request, identity)
        except PaasError as exc:
            self._end(session, exc.exit_code, error=exc.message, remedy=exc.remedy)
            return
        self._selector.modify(session.connection, selectors.EVENT_READ, lambda: self._read_signals(session))
        if session.received:
            self._pass_signals(session)

    def _admit(self, session: Session, line: bytes) -> tuple[Request, Identity]:
        """Return what to run and for whom. Raises UsageError, PermissionRefused, Conflict."""
        request = parse_request(line)
        peer = peer_of(session.connection)
        identity = identify(peer, request, user=self._user)
        if request.is_nested:
            session.asker_group = _group_of(peer.pid)
        if len(session.descriptors) != _DESCRIPTORS:
            raise UsageError("A request comes with stdin, stdout and stderr", remedy="use the paas command")
        running = sum(1 for other in self._sessions if other.pid)
        if running >= MAX_COMMANDS and not request.is_nested:
            raise Conflict(f"{running} commands are running already", remedy="wait for one to end, then try again")
        return request, identity

    # -- its command runs

    def _start(self, session: Session, request: Request, identity: Identity) -> None:
        """Start the command. Raises HostProblem when the machine has no room for it, which is no harm to the others."""
        try:
            process = self._reserve.take(request, identity, session.descriptors)
        except OSError as exc:
            remedy = "wait for other commands to end, or run: sudo paas doctor"
            raise HostProblem(f"The command could not be started: {exc.strerror}", remedy=remedy) from exc
        session.pid, session.pidfd, session.channel, session.request = process.pid, process.pidfd, process.channel, request
        self._selector.register(process.channel, selectors.EVENT_READ, lambda: self._hear_code(session, process.channel))
        self._selector.register(session.pidfd, selectors.EVENT_READ, lambda: self._reap(session))
        self._close_descriptors(session)

    def _read_signals(self, session: Session) -> None:
        try:
            received = session.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._hang_up(session)
            return
        session.received += received
        self._pass_signals(session)

    def _pass_signals(self, session: Session) -> None:
        *lines, rest = session.received.split(b"\n")
        session.received = rest[:_MAX_SIGNAL_BYTES]
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, AttributeError, TypeError, RecursionError):
                name = json.loads(line)["signal"]
                if name in ("INT", "TERM", "WINCH"):
                    _signal(session, signal.Signals[f"SIG{name}"])
                elif name == "HUP":
                    self._hang_up_command(session)

    def _hang_up(self, session: Session) -> None:
        """The client is gone: so is the reader of the output. What must be finished is, the rest ends."""
        self._selector.unregister(session.connection)
        session.connection.close()
        self._hang_up_command(session)

    def _hang_up_command(self, session: Session) -> None:
        """Tell a command that its client is gone. One that finishes what it began ignores that, unless it was asked not to."""
        if session.request is None:
            return
        if not session.request.survives_hangup:
            _signal(session, signal.SIGHUP)
        elif session.request.hears_hangup:
            with contextlib.suppress(ProcessLookupError):
                os.kill(session.pid, signal.SIGHUP)  # it alone: the tools that it runs would take it for their own end
        self._hang_up_parts(session)

    def _hang_up_parts(self, whole: Session) -> None:
        """Tell the commands that are a part of this one: the hook of a push, which git runs in between."""
        for part in list(self._sessions):
            if part.pid and part.asker_group == whole.pid:
                self._hang_up_command(part)

    def _hear_code(self, session: Session, channel: socket.socket) -> None:
        """Hand on the exit code that the command tells before its process ends; one that is killed tells none."""
        said = b""
        with contextlib.suppress(ConnectionResetError):  # killed before it was awake
            said = channel.recv(1)
        self._close_channel(session)
        if said:
            self._answer(session, said[0])

    def _reap(self, session: Session) -> None:
        _, status = os.waitpid(session.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        changes = session.request is not None and session.request.may_change_apps
        self._hang_up_parts(session)
        self._end(session, code if code >= 0 else 128 - code)
        self._reserve.hasten()
        if changes:
            self._poke()

    # -- it ends

    def _end(self, session: Session, code: int, *, error: str = "", remedy: str = "") -> None:
        self._answer(session, code, error=error, remedy=remedy)
        self._forget(session)

    def _answer(self, session: Session, code: int, *, error: str = "", remedy: str = "") -> None:
        answer = json.dumps({"exit": code, "error": error, "remedy": remedy}).encode() + b"\n"
        with contextlib.suppress(OSError):  # nobody waits for it any more
            session.connection.sendall(answer)
        self._close_connection(session)

    def _forget(self, session: Session) -> None:
        self._sessions.discard(session)
        self._close_descriptors(session)
        self._close_connection(session)
        self._close_channel(session)
        if session.pidfd >= 0:
            self._selector.unregister(session.pidfd)
            os.close(session.pidfd)

    def _close_descriptors(self, session: Session) -> None:
        for descriptor in session.descriptors:
            os.close(descriptor)
        session.descriptors = []

    def _close_connection(self, session: Session) -> None:
        if session.connection.fileno() >= 0:
            self._selector.unregister(session.connection)
            session.connection.close()

    def _close_channel(self, session: Session) -> None:
        if session.channel is not None:
            self._selector.unregister(session.channel)
            session.channel.close()
            session.channel = None

    def _waiting(self) -> bool:
        return any(not session.pid for session in self._sessions)

    def _drop_silent_clients(self) -> None:
        oldest = time.monotonic() - REQUEST_TIMEOUT_S
        for session in [s for s in self._sessions if not s.pid and s.since < oldest]:
            self._forget(session)

    def _finish(self) -> None:
        """Let commands that change something finish, end all others; cut what does not end."""
        for session in list(self._sessions):
            if not session.pid:
                self._forget(session)
            elif session.request is not None and not session.request.survives_hangup:
                _signal(session, signal.SIGHUP)
        for timeout_s, number in ((FINISH_TIMEOUT_S, signal.SIGTERM), (CUT_TIMEOUT_S, signal.SIGKILL)):
            until = time.monotonic() + timeout_s
            while self._sessions and time.monotonic() < until:
                self._turn(until - time.monotonic())
            for session in self._sessions:
                _signal(session, number)


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0  # it has gone already


def _signal(session: Session, number: signal.Signals) -> None:
    """Signal the command with all that it started; it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(session.pid, number)
        except ProcessLookupError:
            os.kill(session.pid, number)  # it has been forked a moment ago and does not lead one yet
