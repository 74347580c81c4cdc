"""SSH keys: who may come in."""

from __future__ import annotations

from dataclasses import dataclass

from paas.errors import Conflict, NotFound
from paas.state.db import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key in authorized_keys form (type and base64), and the name its owner acts under."""

    name: str
    public_key: str
    fingerprint: str
    added_at: float


class Access:
    """The table `keys`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add_key(self, name: str, public_key: str, fingerprint: str, now: float) -> Key:
        """Record a key. Raises Conflict when the name or the key is there already."""
        for key in self.keys():
            if key.name == name:
                raise Conflict(f"SSH key '{name}' exists already", remedy=f"run: paas ssh-keys:remove {name}")
            if key.fingerprint == fingerprint:
                raise Conflict(f"This SSH key is known already, as '{key.name}'", remedy="see: paas ssh-keys:list")
        self._db.change(
            "INSERT INTO keys (name, public_key, fingerprint, added_at) VALUES (?, ?, ?, ?)", (name, public_key, fingerprint, now)
        )
        return Key(name=name, public_key=public_key, fingerprint=fingerprint, added_at=now)

    def remove_key(self, name: str) -> None:
        """Forget a key. Raises NotFound."""
        if self._db.change("DELETE FROM keys WHERE name = ?", (name,)) == 0:
            raise NotFound(f"There is no SSH key '{name}'", remedy="see: paas ssh-keys:list")

    def keys(self) -> tuple[Key, ...]:
        """Return all keys by name."""
        return tuple(
            Key(name=row["name"], public_key=row["public_key"], fingerprint=row["fingerprint"], added_at=row["added_at"])
            for row in self._db.rows("SELECT * FROM keys ORDER BY name")
        )
