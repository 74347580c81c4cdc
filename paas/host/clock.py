"""What this machine believes about its time zone."""

from __future__ import annotations

import functools
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LOCALTIME, _TIMEZONE = Path("/etc/localtime"), Path("/etc/timezone")


@functools.lru_cache(maxsize=512)
def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of that name, None if this machine knows none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def machine_zone_name() -> str:
    """Return the name of the machine's own time zone, UTC if it has none. Source: localtime(5)."""
    candidates = []
    if _LOCALTIME.is_symlink():
        candidates.append(str(_LOCALTIME.readlink()).partition("zoneinfo/")[2])
    if _TIMEZONE.is_file():
        candidates.append(_TIMEZONE.read_text(errors="replace").strip())
    return next((name for name in candidates if name and find_zone(name) is not None), "UTC")
