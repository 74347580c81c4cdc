"""Where the time of one command goes: `PAAS_TRACE=1` prints a line for each of its steps. Costs nothing while it is off.

Steps nest. What a step's own parts leave of its time is printed as "other", so that the lines add up; steps of several threads
lie side by side, and the step that holds them says so.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

#: What a step's parts leave of it is told from here on; less is not worth a line.
TOLD_S = 0.00005
_INDENT, _WIDTH = 2, 10


@dataclass(eq=False, slots=True, kw_only=True)
class Step:
    """A named stretch of time, in seconds of one clock, and the stretches inside it. One that has not ended lasts until now."""

    name: str
    began: float
    ended: float | None = None
    parts: list[Step] = field(default_factory=list)


class Timing:
    """The steps of one command. Any thread may add to it: the first step of a thread is a part of what the command is at."""

    def __init__(self) -> None:
        self._root: Step | None = None
        self._thread, self._main = 0, list[Step]()
        self._others = threading.local()
        self._later: list[str] = []

    @property
    def is_on(self) -> bool:
        return self._root is not None

    def begin(self, *, name: str = "total", since: float | None = None) -> None:
        """Measure from now on, or from a moment of the monotonic clock that has passed."""
        self._root = Step(name=name, began=time.monotonic() if since is None else since)
        self._thread, self._main = threading.get_ident(), [self._root]
        self._later = []

    def step(self, name: str) -> AbstractContextManager[None]:
        """Measure what is done while this lasts."""
        return _OFF if self._root is None else self._measured(name)

    def passed(self, name: str, began: float) -> None:
        """Add a step that has been going on since `began` and ends now."""
        if self._root is not None:
            self._add(Step(name=name, began=began, ended=time.monotonic()))

    def add(self, name: str, began: float, ended: float) -> None:
        """Add a step that somebody else measured by the same clock, cut to what lies in the step that the thread is at."""
        if self._root is not None:
            earliest, latest = (self._stack() or self._main)[-1].began, time.monotonic()
            began = min(max(began, earliest), latest)
            self._add(Step(name=name, began=began, ended=min(max(ended, began), latest)))

    def later(self, name: str) -> None:
        """Name something that this command sets going and does not wait for."""
        if self._root is not None and name not in self._later:
            self._later.append(name)

    def lines(self) -> tuple[str, ...]:
        """Return the steps so far as a table, none when nothing was measured."""
        if self._root is None:
            return ()
        return (*table(self._root, now=time.monotonic()), *(f"{'-':>{_WIDTH}}     {name}" for name in self._later))

    @contextlib.contextmanager
    def _measured(self, name: str) -> Iterator[None]:
        step = Step(name=name, began=time.monotonic())
        self._add(step)
        stack = self._stack()
        stack.append(step)
        try:
            yield
        finally:
            stack.pop()
            step.ended = time.monotonic()

    def _add(self, step: Step) -> None:
        (self._stack() or self._main)[-1].parts.append(step)

    def _stack(self) -> list[Step]:
        """Return the steps that this thread is in, the innermost last; a thread that has just begun is in none."""
        if threading.get_ident() == self._thread:
            return self._main
        if not hasattr(self._others, "stack"):
            self._others.stack = list[Step]()
        stack: list[Step] = self._others.stack
        return stack


_OFF: AbstractContextManager[None] = contextlib.nullcontext()


def is_asked_for() -> bool:
    """Say whether the environment asks for times."""
    return os.environ.get("PAAS_TRACE") == "1"


def table(root: Step, *, now: float) -> tuple[str, ...]:
    """Return a line for each step in the order in which they began, the whole last. Pure."""
    return (*_part_lines(root, 0, now), _line(root.name, _length(root, now), 0))


def _part_lines(step: Step, depth: int, now: float) -> Iterator[str]:
    parts = sorted(step.parts, key=lambda part: part.began)
    for part in parts:
        beside = ", side by side" if _covered(part.parts, now) + 1e-6 < sum(_length(p, now) for p in part.parts) else ""
        yield _line(f"{part.name}{beside}", _length(part, now), depth)
        yield from _part_lines(part, depth + 1, now)
    rest = _length(step, now) - _covered(parts, now)
    if parts and rest >= TOLD_S:
        yield _line("other", rest, depth)


def _covered(steps: Sequence[Step], now: float) -> float:
    """Return the time in which any of the steps was under way."""
    covered, until = 0.0, float("-inf")
    for step in sorted(steps, key=lambda one: one.began):
        ended = _ended(step, now)
        covered += max(0.0, ended - max(step.began, until))
        until = max(until, ended)
    return covered


def _length(step: Step, now: float) -> float:
    return _ended(step, now) - step.began


def _ended(step: Step, now: float) -> float:
    return now if step.ended is None else step.ended


def _line(name: str, seconds: float, depth: int) -> str:
    return f"{seconds * 1000:{_WIDTH}.1f} ms  {' ' * _INDENT * depth}{name}"
