"""Logins at registries: one file for all apps, one for each app that has its own. Their format and checks are skopeo's.

    <directory>/auth.json          for all
    <directory>/apps/<app>.json    an app's own, which count first

The files hold passwords as good as in the clear, so they are root's alone (0600); nothing prints them.

Source: containers-auth.json(5).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paas.errors import HostProblem
from paas.host.files import atomic_write


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """The logins that an app, or for '' everybody, may use."""

    directory: Path | None = None
    app: str = ""

    @property
    def file(self) -> Path:
        """Return the file that a login of this app, or for all, goes into."""
        assert self.directory is not None
        return self.directory / "apps" / f"{self.app}.json" if self.app else self.directory / "auth.json"

    def prepare(self) -> Path:
        """Make the directory of the file, for root alone; return the file."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file.parent.chmod(0o700)
        return self.file

    def own(self) -> tuple[str, ...]:
        """Return the registries that this app, or everybody, is logged in at."""
        return tuple(sorted(_read(self.file))) if self.directory is not None else ()

    def authfile(self, scratch: Path) -> Path | None:
        """Return a file with all logins that count, None when there are none: then skopeo looks where it always does."""
        if self.directory is None:
            return None
        found = {**_read(self.directory / "auth.json"), **(_read(self.file) if self.app else {})}
        if not found:
            return None
        file = scratch / "auth.json"
        atomic_write(file, json.dumps({"auths": found}), mode=0o600)
        return file


def _read(file: Path) -> dict[str, Any]:
    try:
        auths = json.loads(file.read_bytes()).get("auths") or {}
        return dict(auths)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        raise HostProblem(
            f"The logins in {file} cannot be read: {exc}", remedy="remove the file and log in again: paas registry:login"
        ) from exc
