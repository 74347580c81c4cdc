"""Terminals handed over by descriptor: raw mode, window size, copying. Works for a terminal that is not our own.

Such a terminal sends us no SIGWINCH: whoever handed it over does, and the size is read when the signal comes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

_PIECE_BYTES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSize:
    rows: int
    columns: int


def window_size(descriptor: int) -> WindowSize:
    """Return the size of a terminal; 24 x 80 when it has none."""
    try:
        rows, columns = termios.tcgetwinsize(descriptor)
    except OSError:
        rows = columns = 0
    return WindowSize(rows=rows or 24, columns=columns or 80)


def set_window_size(descriptor: int, size: WindowSize) -> None:
    """Change the size of a terminal; its foreground processes get SIGWINCH."""
    with contextlib.suppress(OSError):  # the other side is gone
        termios.tcsetwinsize(descriptor, (size.rows, size.columns))


@contextlib.contextmanager
def raw_mode(descriptor: int) -> Iterator[None]:
    """Pass every key through unchanged; restored on exit, whatever happens. Nothing for what is no terminal."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    with _ignored_background_stop():
        tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield
    finally:
        with _ignored_background_stop(), contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def followed_size(descriptor: int, on_change: Callable[[WindowSize], None]) -> Iterator[None]:
    """Report the size now and on every SIGWINCH. In another thread than the main one: now only."""
    on_change(window_size(descriptor))
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def changed(_number: int, _frame: FrameType | None) -> None:
        on_change(window_size(descriptor))

    before = signal.signal(signal.SIGWINCH, changed)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def relay(
    stdin: int, stdout: int, receive: int, send: Callable[[bytes], object], unwrap: Callable[[bytes], bytes],
    *, ends_unread: bool = False,
) -> None:
    """Copy keys to `send` and what comes from `receive` to stdout, until the other side ends.

    A closed stdin ends the sending only; a closed stdout the showing only, or with `ends_unread` all: BrokenPipeError.
    """
    watched = [receive, stdin] if stdin >= 0 else [receive]
    is_shown = True
    while True:
        ready, _, _ = select.select(watched, [], [])
        if receive in ready:
            piece = _read(receive)
            if not piece:
                return
            if is_shown:
                is_shown = write_all(stdout, unwrap(piece))
            if ends_unread and not is_shown:
                raise BrokenPipeError
        if stdin in ready:
            keys = _read(stdin)
            try:
                send(keys)
            except OSError:
                keys = b""
            if not keys:
                watched.remove(stdin)


def write_all(descriptor: int, content: bytes) -> bool:
    """Write everything; False when nobody reads any more."""
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(descriptor, view):]
    except OSError:
        return False
    return True


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _PIECE_BYTES + 1)
    except OSError:
        return b""  # EIO: the last process with the terminal open has ended


@contextlib.contextmanager
def _ignored_background_stop() -> Iterator[None]:
    """A background process that changes its terminal is stopped by SIGTTOU, unless it ignores it (termios(3))."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTTOU, before)
