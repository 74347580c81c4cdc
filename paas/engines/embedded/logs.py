"""Reading and rotating container logs in conmon's k8s-file format.

    2026-11-24T02:21:31.133469536+00:00 stdout F the text        F: a full line, P: more of it follows
Source: Kubernetes CRI logging format (design-proposals-archive, kubelet-cri-logging.md).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from paas.engines import LogLine

_POLL_S = 0.1
_CHUNK_BYTES = 64 * 1024


def parse_lines(lines: Iterable[bytes]) -> Iterator[LogLine]:
    """Turn raw log lines into LogLines, joining partial ones; what is no log line is left out. Pure."""
    pieces: dict[str, str] = {}
    for raw in lines:
        fields = raw.decode(errors="replace").rstrip("\n").split(" ", 3)
        if len(fields) < 4 or fields[2] not in ("F", "P"):
            continue
        at, stream, tag, text = fields
        text = pieces.pop(stream, "") + text
        if tag == "P":
            pieces[stream] = text
            continue
        with contextlib.suppress(ValueError):
            yield LogLine(at=_seconds(at), stream=stream, text=text.removesuffix("\r"))


def read_log(path: Path, *, lines: int = 0, end: int | None = None) -> Iterator[LogLine]:
    """Yield the last `lines` (0: all) lines of a log, up to byte `end`, and of its rotated part."""
    yield from _read_until(path, _size(path) if end is None else end, lines)


def follow_log(
    path: Path, *, lines: int, is_over: Callable[[], bool], sleep: Callable[[float], None] = time.sleep
) -> Iterator[LogLine]:
    """Yield the last lines (0: all), then new ones as they come, through rotations, until `is_over` and all is read."""
    end = _size(path)
    yield from _read_until(path, end, lines)
    yield from parse_lines(_growing_lines(path, end, is_over=is_over, sleep=sleep))


def _read_until(path: Path, end: int, lines: int) -> Iterator[LogLine]:
    older = path.with_name(path.name + ".1")
    if not lines:
        for file, limit in ((older, _size(older)), (path, end)):
            with contextlib.suppress(FileNotFoundError), file.open("rb") as stream:
                yield from parse_lines(stream.read(limit).splitlines())
        return
    last = list(parse_lines(_last_raw_lines(path, lines, end)))[-lines:]
    if len(last) < lines:
        last = [*list(parse_lines(_last_raw_lines(older, lines - len(last), _size(older))))[len(last) - lines :], *last]
    yield from last


def rotate(path: Path, control: Path, *, limit_bytes: int) -> bool:
    """Move a log that is over its limit to `<name>.1` and let conmon open a new one; say whether it was moved."""
    try:
        if path.stat().st_size < limit_bytes:
            return False
        descriptor = os.open(control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # no log yet, or its conmon has ended: nothing grows any more
    try:
        path.rename(path.with_name(path.name + ".1"))
        os.write(descriptor, b"2 0 0\n")  # conmon's control message "reopen logs"
    finally:
        os.close(descriptor)
    return True


def _growing_lines(
    path: Path, position: int, *, is_over: Callable[[], bool], sleep: Callable[[float], None]
) -> Iterator[bytes]:
    stream = None
    rest = b""
    try:
        while True:
            over = is_over()  # asked before reading: what was written until the end is read below
            if stream is None:
                with contextlib.suppress(FileNotFoundError):
                    stream = path.open("rb")
                    stream.seek(position)
                    position = 0
            while stream is not None and (piece := stream.read(_CHUNK_BYTES)):
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
            if stream is not None and _is_replaced(path, stream.fileno()):
                stream.close()
                stream = None
            elif over:
                return
            else:
                sleep(_POLL_S)
    finally:
        if stream is not None:
            stream.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_replaced(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _last_raw_lines(path: Path, count: int, end: int) -> Iterable[bytes]:
    """Return at least the last `count` full lines with the partial ones before them, reading from the end."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return ()
    with stream:
        position = end
        pieces: deque[bytes] = deque()
        full = 0
        while position > 0 and full <= count:
            size = min(_CHUNK_BYTES, position)
            position -= size
            stream.seek(position)
            pieces.appendleft(stream.read(size))
            full += pieces[0].count(b"\n")
    raw = b"".join(pieces).splitlines(keepends=True)
    return raw[1:] if position > 0 else raw


def _seconds(text: str) -> float:
    """Parse conmon's time; its nanoseconds are more than fromisoformat takes."""
    day, _, rest = text.partition(".")
    fraction, sign, zone = rest.partition("+") if "+" in rest else rest.partition("-")
    return datetime.fromisoformat(f"{day}{sign}{zone}" if sign else day + "+00:00").timestamp() + float(f"0.{fraction or 0}")
