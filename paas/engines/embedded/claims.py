"""Names and addresses that one container only may have: symbolic links, made by the kernel's own rule of one winner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """`directory/<key>` -> container id. A claim whose holder has no directory (a crash) counts for nothing."""

    directory: Path
    exists: Callable[[str], bool]

    def take(self, key: str, container: str) -> bool:
        """Take a key for a container, unless another one holds it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(2):
            try:
                (self.directory / key).symlink_to(container)
                return True
            except FileExistsError:
                holder = self.holder(key)
                if holder == container:
                    return True
                if holder and self.exists(holder):
                    return False
                (self.directory / key).unlink(missing_ok=True)
        return False

    def holder(self, key: str) -> str:
        """Return the container that holds a key, or ''."""
        with contextlib.suppress(OSError):
            return str((self.directory / key).readlink())
        return ""

    def release(self, key: str, container: str) -> None:
        """Give a key back, if this container holds it."""
        if self.holder(key) == container:
            (self.directory / key).unlink(missing_ok=True)

    def stale(self) -> tuple[str, ...]:
        """Return the keys whose holder is gone."""
        with contextlib.suppress(FileNotFoundError):
            return tuple(key.name for key in sorted(self.directory.iterdir()) if not self.exists(self.holder(key.name)))
        return ()
