"""A pipe whose other end is a callback: gives tools a descriptor to write to, and us their lines as they come."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def line_pipe(on_line: Callable[[str], None]) -> Iterator[int]:
    """Yield a writable descriptor; each line written to it goes to `on_line` in a thread, the last before this returns."""
    reader, writer = os.pipe()

    def pump() -> None:
        with os.fdopen(reader, "rb") as stream:
            for raw in stream:
                on_line(raw.decode(errors="replace").rstrip("\r\n"))

    thread = threading.Thread(target=pump, name="line-pipe", daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        os.close(writer)
        thread.join()
