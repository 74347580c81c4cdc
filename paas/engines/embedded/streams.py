"""Descriptors that a container may hold: pipes and sockets only, never a terminal, file or device of the host.

A terminal could be typed into (TIOCSTI), and the runtime changes the owner of what it is given, the host's /dev/null included.
Everything else is reached through a pipe and copied by a thread.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading
from collections.abc import Callable, Iterator

from paas.engines import Stdio
from paas.engines.embedded.terminal import write_all

_PIECE_BYTES = 64 * 1024
#: /dev/null. Source: the kernel's admin-guide/devices.txt.
_NULL_DEVICE = os.makedev(1, 3)


@contextlib.contextmanager
def passable(stdio: Stdio) -> Iterator[Stdio]:
    """Give descriptors for a container that lead to and from the caller's; on exit what is under way is still copied."""
    with contextlib.ExitStack() as stack:
        is_over, end = _pipe(stack)
        copies: list[Callable[[], None]] = []
        stdin = stdio.stdin
        if not _is_passable(stdin):
            stdin, writing = os.pipe2(os.O_CLOEXEC)
            stack.callback(os.close, stdin)
            if _is_null(stdio.stdin):
                os.close(writing)  # a thread that reads nothing takes as long to start as a tool
            else:
                copies.append(lambda: _copy_in(stdio.stdin, writing, is_over))
        given = {d: d for d in (stdio.stdout, stdio.stderr)}
        targets: dict[int, int] = {}
        for descriptor in given:
            if not _is_passable(descriptor):
                reading, given[descriptor] = _pipe(stack)
                targets[reading] = descriptor
        if targets:
            copies.append(lambda: _copy_out(targets, is_over))
        threads = [threading.Thread(target=copy, daemon=True) for copy in copies]
        for thread in threads:
            thread.start()
        try:
            yield Stdio(stdin=stdin, stdout=given[stdio.stdout], stderr=given[stdio.stderr])
        finally:
            os.write(end, b"\0")
            for thread in threads:
                thread.join()


def _is_null(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == _NULL_DEVICE


def _is_passable(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _copy_in(source: int, writing: int, is_over: int) -> None:
    """Copy until the input ends, nobody reads it, or all is over; then the container sees the end of its input."""
    os.set_blocking(writing, False)
    try:
        while source in _ready([source, is_over]):
            view = memoryview(_read(source))
            if not view:
                return
            while view:
                if is_over in select.select([is_over], [writing], [])[0]:
                    return
                view = view[os.write(writing, view) :]
    except OSError:
        return  # EPIPE: nobody reads it
    finally:
        os.close(writing)


def _copy_out(targets: dict[int, int], is_over: int) -> None:
    """Copy until all is over, then what the pipes still hold. A closed target is no reason to stop the others."""
    for reading in targets:
        os.set_blocking(reading, False)
    over = False
    while not over:
        over = is_over in _ready([*targets, is_over])
        for reading, target in targets.items():
            while piece := _read(reading):
                write_all(target, piece)


def _ready(descriptors: list[int]) -> list[int]:
    return select.select(descriptors, [], [])[0]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _PIECE_BYTES)
    except OSError:
        return b""  # EAGAIN: nothing more now; EIO: the terminal is gone


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    return reading, writing
