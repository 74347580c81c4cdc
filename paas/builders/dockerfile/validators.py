"""What servers said of files that ADD downloaded before: with it they are asked whether anything changed, not for the file.

One small file for each URL, by its digest: an address may hold a password. Source: RFC 9110, 13.1 (conditional requests).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from paas.host.files import atomic_write

#: So many addresses are remembered, those asked last.
_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """A file's sha256, and the ETag and Last-Modified that it came with, '' for none."""

    digest: str
    etag: str = ""
    modified: str = ""

    def headers(self) -> dict[str, str]:
        """Return what makes a request conditional. Where there is an ETag the date does not count."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


class Validators:
    """Those of one app. Any number of builds may use them at once; `is_asked` is False when all is to be built anew."""

    def __init__(self, directory: Path, *, is_asked: bool = True) -> None:
        self._directory, self._is_asked = directory, is_asked

    def find(self, url: str) -> Validator | None:
        """Return what is known of a URL."""
        if not self._is_asked:
            return None
        try:
            return Validator(**json.loads(self._file(url).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, url: str, validator: Validator) -> None:
        """Remember it, if it is of use for the next time."""
        if not validator.headers():
            self.forget(url)
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_write(self._file(url), json.dumps(asdict(validator)).encode(), mode=0o600)
        for old in sorted(self._directory.glob("*.json"), key=_changed_at, reverse=True)[_MOST:]:
            old.unlink(missing_ok=True)

    def forget(self, url: str) -> None:
        """Ask for the whole file the next time."""
        self._file(url).unlink(missing_ok=True)

    def _file(self, url: str) -> Path:
        return self._directory / f"{hashlib.sha256(url.encode()).hexdigest()}.json"


def _changed_at(file: Path) -> float:
    with contextlib.suppress(FileNotFoundError):  # another build has just removed it
        return file.stat().st_mtime
    return 0
