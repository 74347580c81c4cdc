"""The vault: config vars at rest, encrypted with a key that lies outside the database.

Sealed text is a blob, plain text is text: the column itself tells, so a database may hold both while it is being changed over.
Fernet: AES-128-CBC with HMAC-SHA256. The key file holds one key in each line; the first one seals, all of them open, so
that keys can be changed without a moment at which something cannot be read.
Source: cryptography.io, "Fernet (symmetric encryption)", MultiFernet.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from paas.errors import HostProblem, InvalidSetting

Stored = str | bytes


class Vault:
    """Seals and opens text. Without a key file it seals nothing, and opens only what was never sealed."""

    def __init__(self, key_file: Path | None = None) -> None:
        self._key_file = key_file
        self._fernet: Any = None
        self._read_from: tuple[int, int] | None = None

    @property
    def seals(self) -> bool:
        """Say whether what is stored from now on is sealed."""
        return self._key_file is not None

    def seal(self, text: str) -> Stored:
        """Return what to store for a text. Raises HostProblem, InvalidSetting when the key cannot be had."""
        return bytes(self._keys().encrypt(text.encode())) if self.seals else str(text)

    def open(self, stored: Stored) -> str:
        """Return the text that was stored. Raises HostProblem when its key cannot be had, or is another one."""
        if isinstance(stored, str):
            return stored
        if self._key_file is None:
            raise HostProblem(
                "The config vars are encrypted, and no key file is set",
                remedy="set config-key-file in paas.toml to the file with the key",
            )
        from cryptography.fernet import InvalidToken

        try:
            return str(self._keys().decrypt(stored).decode())
        except InvalidToken:
            raise HostProblem(
                f"The config vars are encrypted with another key than the one in {self._key_file}",
                remedy="put the right key back, e.g. from a backup; without it they cannot be read",
            ) from None

    def preload(self) -> None:
        """Import now what the first use would wait for; for a process that lives long."""
        if self.seals:
            import cryptography.fernet  # noqa: F401

    def _keys(self) -> Any:
        """Return what opens and seals, read anew when the file is another: a command may be older than the newest key."""
        assert self._key_file is not None
        version = _version(self._key_file)
        if self._fernet is None or version != self._read_from:
            from cryptography.fernet import Fernet, MultiFernet

            self._read_from = version
            try:
                self._fernet = MultiFernet([Fernet(line) for line in read_keys(self._key_file)])
            except ValueError as exc:
                raise InvalidSetting(
                    f"{self._key_file} holds no key", remedy="a key is 32 bytes in base64; make one with: paas config:rekey"
                ) from exc
        return self._fernet


def _version(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def new_key() -> str:
    """Return a fresh key."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def read_keys(file: Path) -> tuple[str, ...]:
    """Return the keys in a file, the one that seals first. Raises HostProblem, also for a file that others may read."""
    try:
        with file.open() as stream:
            found = os.fstat(stream.fileno())
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise HostProblem(f"Others may read the key in {file}", remedy=f"run: chmod 600 {file}")
            lines = tuple(line.strip() for line in stream if line.strip())
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise HostProblem(
            f"The key file {file} cannot be read: {why}", remedy="put it back, or for the first time run: paas config:rekey"
        ) from exc
    if not lines:
        raise HostProblem(f"The key file {file} is empty", remedy="put the key back, e.g. from a backup")
    return lines
