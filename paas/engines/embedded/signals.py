"""Signals that a container gets in place of the process that waits for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from paas.engines.embedded.running import signal_init

_PASSED_ON = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def passed_on(home: Path) -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on to a running container's init, which decides what they mean. In the main thread only.

    Not SIGHUP, which says that whoever would see the end is gone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, _frame: FrameType | None) -> None:
        signal_init(home, number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
