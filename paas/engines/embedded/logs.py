"""Container logs in conmon's k8s-file format: reading, following, and keeping what conmon replaces.

    2026-11-24T02:21:31.133469536+00:00 stdout F the text        F: a full line, P: more of it follows
Source: Kubernetes CRI logging format (design-proposals-archive, kubelet-cri-logging.md).

A log that reaches its limit conmon replaces by an empty one, and the old one would be gone. So each log has a second name,
a hard link `<log>.0`: once it is another file than the log, it is what the log was before, and becomes `<log>.1`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from paas.engines import LogLine

_POLL_S = 0.1
_CHUNK_BYTES = 64 * 1024
_TIME_BYTES = 35
_FULL_LINE = re.compile(rb"^\S+ std(?:out|err) F ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log was read: in which of its files, to which byte. Without a file: nothing was read.

    Inodes are used again soon, so the file's first bytes, its first time, tell it from later ones.
    """

    inode: int = 0
    offset: int = 0
    head: bytes = b""

    @classmethod
    def in_part(cls, part: BinaryIO, offset: int) -> Position:
        """Make the position of a byte in an open file."""
        return cls(_inode(part), offset, os.pread(part.fileno(), min(offset, _TIME_BYTES), 0))

    def is_in(self, part: BinaryIO) -> bool:
        """Say whether an open file is the one that was read."""
        return _inode(part) == self.inode and os.pread(part.fileno(), len(self.head), 0) == self.head


class LineParser:
    """Turns raw log lines into LogLines, joining those in parts; keeps the parts of lines whose end is still to come."""

    def __init__(self) -> None:
        self._parts: dict[bytes, tuple[bytes, bytes]] = {}  # by stream: the time of the last, the text

    def feed(self, lines: Iterable[bytes]) -> Iterator[LogLine]:
        """Yield the lines that are whole; what is no log line is left out."""
        for raw in lines:
            fields = raw.rstrip(b"\n").split(b" ", 3)
            if len(fields) < 4 or fields[2] not in (b"F", b"P"):
                continue
            at, stream, tag, text = fields
            text = self._parts.pop(stream, (at, b""))[1] + text
            if tag == b"P":
                self._parts[stream] = (at, text)
            else:
                yield from _line(at, stream, text)

    def rest(self) -> Iterator[LogLine]:
        """Yield the lines that have not ended, as far as they have come."""
        for stream, (at, text) in self._parts.items():
            yield from _line(at, stream, text)
        self._parts.clear()


def parse_lines(lines: Iterable[bytes]) -> Iterator[LogLine]:
    """Turn raw log lines into LogLines; those that have not ended come last. Pure."""
    parser = LineParser()
    yield from parser.feed(lines)
    yield from parser.rest()


def end_of_log(path: Path) -> Position:
    """Return where the log ends now."""
    try:
        with path.open("rb") as part:
            return Position.in_part(part, _size(part))
    except FileNotFoundError:
        return Position()


def read_log(path: Path, *, lines: int = 0, end: Position | None = None) -> Iterator[LogLine]:
    """Yield the last `lines` (0: all) lines of a log, up to `end`, those of its replaced parts included."""
    yield from list(parse_lines(_last_raw_lines(path, lines, end)))[-lines:]


def read_on(path: Path, position: Position, size: int = _CHUNK_BYTES) -> tuple[bytes, Position]:
    """Return up to `size` bytes of a log behind `position`, and where they end; b"" when there are none yet.

    From a position in a file that is gone it goes on with the oldest part that is left.
    """
    with contextlib.ExitStack() as opened:
        for part in reversed(_open_parts(path, opened, until=position)):
            part.seek(position.offset if position.is_in(part) else 0)
            fresh = part.read(size)
            position = Position.in_part(part, part.tell())
            if fresh:
                return fresh, position
    return b"", position


def follow_log(
    path: Path, *, lines: int, is_over: Callable[[], bool], sleep: Callable[[float], None] = time.sleep
) -> Iterator[LogLine]:
    """Yield the last lines (0: all), then new ones as they come, until `is_over` and all is read."""
    end, parser = end_of_log(path), LineParser()
    yield from list(parser.feed(_last_raw_lines(path, lines, end)))[-lines:]
    yield from parser.feed(_growing_lines(path, end, is_over=is_over, sleep=sleep))
    yield from parser.rest()


def keep_replaced(path: Path) -> bool:
    """Give a log its second name; say whether conmon had replaced the log since the last call. Does nothing without a log."""
    second = path.with_name(path.name + ".0")
    with contextlib.suppress(OSError):  # removed, the disk is full, or somebody does the same: no reason to fail
        if not second.exists():
            os.link(path, second)
            return False
        with second.open("rb") as before:
            if _inode(before) == path.stat().st_ino:
                return False
            fcntl.flock(before, fcntl.LOCK_EX)
            if _inode(before) != second.stat().st_ino:
                return False  # somebody else was faster
            second.rename(path.with_name(path.name + ".1"))
            os.link(path, second)
            return True
    return False


def _last_raw_lines(path: Path, lines: int, end: Position | None) -> list[bytes]:
    """Return the raw lines that hold the last `lines` (0: all) up to `end`, and perhaps some before."""
    raw: list[bytes] = []
    with contextlib.ExitStack() as opened:
        parts = _open_parts(path, opened)
        while end is not None and parts and not end.is_in(parts[0]):
            del parts[0]
        for part in parts:
            stop = end.offset if end is not None and part is parts[0] else _size(part)
            raw[:0] = _raw_lines(part, stop, lines)
            if lines and sum(1 for line in raw if _FULL_LINE.match(line)) > lines:
                break
    return raw


def _open_parts(path: Path, opened: contextlib.ExitStack, *, until: Position | None = None) -> list[BinaryIO]:
    """Open the files of a log, newest first, each once; none older than the one that `until` is in."""
    while True:
        parts: dict[int, BinaryIO] = {}
        for suffix in ("", ".0", ".1"):
            with contextlib.suppress(FileNotFoundError):
                part = opened.enter_context(path.with_name(path.name + suffix).open("rb"))
                parts.setdefault(_inode(part), part)
                if until is not None and until.is_in(part):
                    break
        if end_of_log(path).inode in (0, next(iter(parts), 0)):
            return list(parts.values())
        opened.pop_all().close()  # replaced meanwhile: the names have come to mean others


def _growing_lines(
    path: Path, position: Position, *, is_over: Callable[[], bool], sleep: Callable[[float], None]
) -> Iterator[bytes]:
    rest = b""
    while True:
        over = is_over()  # asked before reading: what was written until the end is read below
        fresh, position = read_on(path, position)
        if fresh:
            *whole, rest = (rest + fresh).split(b"\n")
            yield from whole
        elif over:
            return
        else:
            sleep(_POLL_S)


def _raw_lines(part: BinaryIO, end: int, count: int = 0) -> list[bytes]:
    """Return the lines up to byte `end`, read from there: the last `count` (0: all) full ones and the partial ones before."""
    position, full = end, 0
    pieces: deque[bytes] = deque()
    while position > 0 and (not count or full <= count):
        size = min(_CHUNK_BYTES, position)
        position -= size
        part.seek(position)
        pieces.appendleft(part.read(size))
        full += len(_FULL_LINE.findall(pieces[0]))
    raw = b"".join(pieces).split(b"\n")  # not by splitlines: a line may hold a carriage return
    return raw[1:] if position > 0 else raw


def _line(at: bytes, stream: bytes, text: bytes) -> Iterator[LogLine]:
    with contextlib.suppress(ValueError):
        shown = text.removesuffix(b"\r").decode(errors="replace")
        yield LogLine(at=_seconds(at.decode()), stream=stream.decode(), text=shown)


def _inode(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_ino


def _size(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_size


def _seconds(text: str) -> float:
    """Parse conmon's time; its nanoseconds are more than fromisoformat takes."""
    day, _, rest = text.partition(".")
    fraction, sign, zone = rest.partition("+") if "+" in rest else rest.partition("-")
    return datetime.fromisoformat(f"{day}{sign}{zone}" if sign else day + "+00:00").timestamp() + float(f"0.{fraction or 0}")
