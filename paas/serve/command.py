"""One command in a process of its own, forked from the executor (spare.py): take over the client's terminal, run, exit."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import signal
import socket
import sys
import termios
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn, TextIO

from paas.cli.client import CALLER_PREFIX, FORWARDED, FORWARDED_PREFIX
from paas.context import Identity
from paas.host.process import close_descriptors, rename_process
from paas.serve.request import Request

#: Runs one command line for somebody and returns its exit code; prints its errors itself.
Runner = Callable[[Sequence[str], Identity], int]
#: Requests to end; blocked until the command can undo what it has begun.
ASKED_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_in_child(
    request: Request, identity: Identity, descriptors: Sequence[int], run: Runner, channel: socket.socket
) -> NoReturn:
    """Become the command in a session of our own: never returns into the executor's loop, whatever happens.

    `channel` takes the exit code to the executor.
    """
    code = os.EX_SOFTWARE
    try:
        _take_signals(request)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        # The executor's other descriptors are other clients' connections: ours would keep them open.
        close_descriptors(keep=(channel.fileno(),))
        _take_terminal()
        _take_streams()
        _take_environment(request, identity)
        rename_process(f"paas {request.topic}")
        code = run(request.argv, identity)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        _leave(code & 0xFF, channel)


def _leave(code: int, channel: socket.socket) -> NoReturn:
    """Tell how it went, then end.

    Told first, for the kernel takes as long to take a large process down as a short command takes; and told last of all that we
    do: whoever hears it may rely on it that we hold no lock and nobody's stream any more.
    """
    os.closerange(0, 3)
    close_descriptors(keep=(channel.fileno(),))
    with contextlib.suppress(OSError):  # the executor has ended
        channel.send(bytes([code]))
    os._exit(code)


def _take_signals(request: Request) -> None:
    """End like Ctrl-C on every request to end, so that whatever the command has begun is undone."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if request.survives_hangup else signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_END)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """Raise what Ctrl-C raises, but told from it: the server ends, or somebody kills, and not the user himself."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def _take_terminal() -> None:
    """Make a terminal of the gateway's ours, for Ctrl-C and window size. One of a local user's stays his shell's."""
    if os.isatty(0):
        with contextlib.suppress(PermissionError):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _take_streams() -> None:
    sys.stdin = _text(0, "r")
    sys.stdout, sys.stderr = _text(1, "w"), _text(2, "w")


def _text(descriptor: int, mode: str) -> TextIO:
    raw = io.FileIO(descriptor, mode, closefd=False)
    buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    by_line = os.isatty(descriptor) or descriptor == 2
    return io.TextIOWrapper(buffered, encoding="utf-8", errors="surrogateescape", line_buffering=by_line)


def _take_environment(request: Request, identity: Identity) -> None:
    """Add what the client may say; who is asking is for hooks that git starts."""
    for name in [n for n in os.environ if n in FORWARDED or n.startswith((FORWARDED_PREFIX, CALLER_PREFIX))]:
        del os.environ[name]
    os.environ.update(request.env)
    os.environ["PAAS_IDENTITY"] = identity.name
    os.umask(0o022)
    with contextlib.suppress(OSError):
        os.chdir(request.cwd if identity.is_admin else "/")
