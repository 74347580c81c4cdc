"""Old log files of app processes: one for each container, in a directory for each process, of which the newest are kept.

Those of scheduled tasks are not ours: they go with the record of their run.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from paas.model.container import KIND_CRON


def prune_logs(logs: Path, *, keep: int, in_use: Collection[Path]) -> int:
    """Remove all but the newest `keep` log files of each process, never those in use; return how many went."""
    removed = 0
    for directory in sorted(logs.glob("*/*/")):
        if directory.name.startswith(f"{KIND_CRON}."):
            continue
        files = [file for file in directory.iterdir() if file.is_file() and _log_of(file) not in in_use]
        files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
        live = sum(1 for file in in_use if file.parent == directory)
        for file in files[max(0, keep - live) :]:
            file.unlink(missing_ok=True)
            removed += 1
    return removed


def _log_of(file: Path) -> Path:
    """Return the log that a rotated part (`<log>.1`) belongs to."""
    return file.with_suffix("") if file.suffix.removeprefix(".").isdecimal() else file
