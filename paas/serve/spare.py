"""A process forked ahead of time for the command that is yet to come: it waits for the request on a socket of its own.

    executor --socketpair: request (memfd), stdin, stdout, stderr--> spare, which becomes the command

So no command waits for the fork of a process as large as the executor, nor for the page faults of what every command touches:
the spare has rehearsed. One that comes while no spare is there yet waits for the fork, and that process does not rehearse.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import select
import selectors
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from paas.context import Identity
from paas.host.process import close_descriptors, rename_process
from paas.serve.command import ASKED_TO_END, Runner, run_in_child
from paas.serve.request import Request

#: The next spare is made when a command has ended, or so long after it has begun: until then it needs the processors itself.
DELAY_S = 0.05
#: One that dies by itself is not replaced sooner: something is wrong with the machine.
PAUSE_S = 5.0
#: The request, stdin, stdout and stderr.
_DESCRIPTORS = 4
#: Who rehearses.
_NOBODY = Identity(name="", is_admin=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """A child that waits for its command; whoever has forked it reaps it and closes `pidfd`."""

    pid: int
    pidfd: int
    channel: socket.socket

    def become(self, request: Request, identity: Identity, descriptors: Sequence[int]) -> None:
        """Have it become this command. Raises OSError when it has died."""
        memory = os.memfd_create("paas-request")
        try:
            with open(memory, "wb", closefd=False) as stream:
                pickle.dump((request, identity), stream)
            socket.send_fds(self.channel, [b"\n"], [memory, *descriptors])
        finally:
            os.close(memory)

    def dismiss(self) -> None:
        """End it and wait; it has nothing to lose."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.channel.close()


class Reserve:
    """Keep one spare ready; `selector` tells when it dies. `rehearsal` is a command that changes nothing."""

    def __init__(self, run: Runner, selector: selectors.BaseSelector, rehearsal: Sequence[str]) -> None:
        self._run, self._selector, self._rehearsal = run, selector, rehearsal
        self._spare: Spare | None = None
        self._due_at = 0.0

    @property
    def wait_s(self) -> float:
        """How long from now until there is one to make."""
        return math.inf if self._spare is not None else max(self._due_at - time.monotonic(), 0.0)

    def take(self, request: Request, identity: Identity, descriptors: Sequence[int]) -> Spare:
        """Return the process that is now this command: the spare, or a new one while there is none. Raises OSError."""
        self._due_at = time.monotonic() + DELAY_S
        if self._spare is not None:
            spare = self._release(self._spare)
            try:
                spare.become(request, identity, descriptors)
                return spare
            except OSError:
                spare.dismiss()  # it has died and nobody has noticed yet
        spare = fork_spare(self._run, ())
        try:
            spare.become(request, identity, descriptors)
        except OSError:
            spare.dismiss()
            raise
        return spare

    def hasten(self) -> None:
        """A command has ended: the processors are free for the next spare."""
        self._due_at = min(self._due_at, time.monotonic())

    def refill(self) -> None:
        """Make one if it is time."""
        if self.wait_s > 0:
            return
        try:
            spare = self._spare = fork_spare(self._run, self._rehearsal)
        except OSError:
            self._due_at = time.monotonic() + PAUSE_S  # no room on the machine; a command that comes tries itself
            return
        self._selector.register(spare.pidfd, selectors.EVENT_READ, self.drop)

    def drop(self) -> None:
        """End the spare, or take note that it has died."""
        if self._spare is not None:
            self._release(self._spare).dismiss()
            self._due_at = time.monotonic() + PAUSE_S

    def _release(self, spare: Spare) -> Spare:
        self._selector.unregister(spare.pidfd)
        self._spare = None
        return spare


def fork_spare(run: Runner, rehearsal: Sequence[str]) -> Spare:
    """Fork one, which runs the rehearsal, if there is one, for its page faults alone. Raises OSError."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Whoever asks the command to end while it is not yet that command asks it as soon as it is.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_END)
    try:
        pid = os.fork()
        if pid == 0:
            _wait_for_command(its, run, rehearsal)
    except OSError:
        ours.close()
        raise
    finally:
        its.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Spare(pid=pid, pidfd=os.pidfd_open(pid), channel=ours)


def _wait_for_command(channel: socket.socket, run: Runner, rehearsal: Sequence[str]) -> NoReturn:
    """Be the spare, then the command: never returns."""
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        close_descriptors(keep=(channel.fileno(),))
        rename_process("paas spare")
        if rehearsal and not select.select([channel], [], [], 0)[0]:
            _rehearse(run, rehearsal)
        received, descriptors, _, _ = socket.recv_fds(channel, 1, _DESCRIPTORS)
        if not received:
            os._exit(0)  # the executor has ended
        with open(descriptors[0], "rb", closefd=False) as stream:
            stream.seek(0)
            request, identity = pickle.load(stream)
    except BaseException:
        os._exit(os.EX_SOFTWARE)
    run_in_child(request, identity, descriptors[1:], run, channel)


def _rehearse(run: Runner, argv: Sequence[str]) -> None:
    with (
        open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere),
        contextlib.suppress(Exception, SystemExit),
    ):  # fmt: skip
        run(argv, _NOBODY)
