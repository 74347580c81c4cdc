"""Who may come in: authorized_keys, as written by ssh-keys:add for OpenSSH as well. Read again when it changes.

    command="... ssh-command alice",restrict,pty ssh-ed25519 AAAAC3Nz... alice
Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT.
"""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

#: Type, base64 blob, and the comment, which is the key's name. The options before them are OpenSSH's affair.
_KEY = re.compile(
    r"(?:\A|\s)(?P<type>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521))\s+(?P<blob>[A-Za-z0-9+/=]+)\s+(?P<name>\S+)\s*\Z"
)


def parse_authorized_keys(text: str) -> dict[tuple[str, str], str]:
    """Return the key names by type and base64 blob; lines that hold no key with a name are left out. Pure."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {(found["type"], found["blob"]): found["name"] for line in lines if (found := _KEY.search(line))}


class AuthorizedKeys:
    """The file. Safe to use from several threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read: tuple[int, int, int] = (0, 0, 0)
        self._names: dict[tuple[str, str], str] = {}

    def name_of(self, kind: str, blob: str) -> str:
        """Return the name of the key's owner, '' for a key that may not come in."""
        with self._lock:
            self._refresh()
            return self._names.get((kind, blob), "")

    def _refresh(self) -> None:
        try:
            found = self._file.stat()
            version = (found.st_mtime_ns, found.st_ino, found.st_size)
            if version != self._read:
                self._names = parse_authorized_keys(self._file.read_text(errors="replace"))
                self._read = version
        except FileNotFoundError:
            self._read, self._names = (0, 0, 0), {}  # no key has been added yet
        except OSError as exc:
            self._read, self._names = (0, 0, 0), {}
            sys.stderr.write(f" !     SSH lets nobody in: could not read {self._file}: {exc.strerror}\n")
