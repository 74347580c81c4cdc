"""Progress as the user reads it. Dokku's prefixes; line by line; the same lines go to every sink.

Not logging: debugging output is `PAAS_TRACE=1` and goes through `trace`; where the time goes, through `Output.timed`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TextIO

from paas.timing import Timing, is_asked_for

MILESTONE, STEP, DETAIL, WARNING = "=====> ", "-----> ", "       ", " !     "


class Output:
    """Write progress to `out` and warnings to `err`; copy each line to the sinks added by `add_sink`.

    A closed reader (client gone) never stops the work: the stream is dropped, the sinks go on.
    """

    def __init__(
        self, out: TextIO | None = None, err: TextIO | None = None, *, quiet: bool = False, timing: Timing | None = None
    ) -> None:
        self._out: TextIO | None = out if out is not None else sys.stdout
        self._err: TextIO | None = err if err is not None else sys.stderr
        self._quiet = quiet
        self.timing = timing or Timing()
        self._sinks: list[Callable[[str], None]] = []

    def add_sink(self, sink: Callable[[str], None]) -> None:
        """Also give every line (without newline) to `sink`, e.g. a build log."""
        self._sinks.append(sink)

    def remove_sink(self, sink: Callable[[str], None]) -> None:
        """Stop copying lines to `sink`."""
        self._sinks.remove(sink)

    @property
    def has_reader(self) -> bool:
        """Say whether anybody still reads; known once a write failed."""
        return self._out is not None

    def milestone(self, text: str) -> None:
        """Say that something is reached: `=====> Application deployed:`."""
        self._progress(MILESTONE, text)

    def step(self, text: str) -> None:
        """Say what is about to be done, present participle: `-----> Building shop`."""
        self._progress(STEP, text)

    def detail(self, text: str) -> None:
        """Show one line of detail or of a tool's output, indented by seven spaces."""
        self._progress(DETAIL, text)

    def timed(self, step: str) -> AbstractContextManager[None]:
        """Measure a step of the work while this lasts, where that was asked for."""
        return self.timing.step(step)

    def plain(self, text: str = "") -> None:
        """Print a line of a command's result, unindented; never silenced by quiet."""
        self._write("_out", text)

    def warn(self, text: str) -> None:
        """Print ` !     text` to the error stream."""
        for line in text.splitlines() or [""]:
            self._write("_err", WARNING + line)

    def error(self, text: str) -> None:
        """Print an error; looks like a warning, as in Dokku."""
        self.warn(text)

    def _progress(self, prefix: str, text: str) -> None:
        for line in text.splitlines() or [""]:
            self._write("_out", prefix + line, silent=self._quiet)

    def _write(self, stream_name: str, line: str, *, silent: bool = False) -> None:
        for sink in self._sinks:
            sink(line)
        stream: TextIO | None = getattr(self, stream_name)
        if silent or stream is None:
            return
        try:
            stream.write(line + "\n")
            stream.flush()
        except (BrokenPipeError, ConnectionError, OSError, ValueError):
            setattr(self, stream_name, None)  # the reader is gone; the work is not


def trace(text: str) -> None:
    """Print a debugging line to stderr when PAAS_TRACE=1."""
    if is_asked_for():
        try:
            sys.stderr.write(f"+ {text}\n")
            sys.stderr.flush()
        except OSError:
            pass  # nobody reads it any more
