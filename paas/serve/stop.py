"""The wish to end, as something a selector can wait for: SIGTERM or SIGINT makes it readable."""

from __future__ import annotations

import os
import signal
from types import FrameType


class StopSignal:
    """Set by SIGTERM and SIGINT from the moment it is made; `fileno` is readable from then on."""

    def __init__(self) -> None:
        self.is_set = False
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._reader

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if not self.is_set:
            self.is_set = True
            os.write(self._writer, b"x")
