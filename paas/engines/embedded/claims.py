"""Names and addresses that one container only may have: symbolic links, made by the kernel's own rule of one winner."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
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
        if self._write(key, container):
            return True
        with self._clearing():
            self._drop_if_stale(key)
            return self._write(key, container) or self.holder(key) == container

    def holder(self, key: str) -> str:
        """Return the container that holds a key, or ''."""
        with contextlib.suppress(OSError):
            return str((self.directory / key).readlink())
        return ""

    def release(self, key: str, container: str) -> None:
        """Give a key back, if this container holds it."""
        if self.holder(key) == container:
            (self.directory / key).unlink(missing_ok=True)

    def drop_stale(self) -> None:
        """Remove the claims whose holder is gone."""
        with contextlib.suppress(FileNotFoundError), self._clearing():
            for claim in sorted(self.directory.iterdir()):
                self._drop_if_stale(claim.name)

    def _write(self, key: str, container: str) -> bool:
        try:
            (self.directory / key).symlink_to(container)
        except FileExistsError:
            return False
        return True

    def _drop_if_stale(self, key: str) -> None:
        holder = self.holder(key)
        if holder and not self.exists(holder):
            (self.directory / key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _clearing(self) -> Iterator[None]:
        """Be the only one who removes stale claims: of two, the slower would remove the new claim of the faster."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
