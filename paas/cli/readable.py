"""Sizes, spans, dates and columns as people read them. Pure, but for the machine's time zone; JSON has the plain numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence

_SIZES = ("B", "kB", "MB", "GB", "TB")
_SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def readable_size(size_bytes: float) -> str:
    """Return `142 MB`."""
    for unit in _SIZES[:-1]:
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.0f} {_SIZES[-1]}"


def readable_span(seconds: float) -> str:
    """Return `3 hours`. Less than nothing is none: a beginning and an end that different clocks wrote down."""
    seconds = max(seconds, 0.0)
    size, unit = next((span for span in _SPANS if seconds >= span[0]), _SPANS[-1])
    count = int(seconds // size)
    return f"{count} {unit}{'' if count == 1 else 's'}"


def local_time(at: float) -> str:
    """Return `2026-01-31 14:02:11`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Lay rows out in columns, two spaces apart."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return tuple("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (header, *rows))
