"""Config vars and `:set` properties; the scope '' holds for all apps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from paas.model.env import Secret
from paas.state.db import Database
from paas.state.vault import Vault


class Config:
    """Config vars. Values are Secret: they never show themselves in a repr."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault

    def get(self, scope: str) -> dict[str, str]:
        """Return the scope's own config vars by name. Raises HostProblem when they are encrypted and the key is not there."""
        rows = self._db.rows("SELECT key, value FROM config WHERE scope = ? ORDER BY key", (scope,))
        return {row["key"]: Secret(self._vault.open(row["value"])) for row in rows}

    def merged(self, app: str) -> dict[str, str]:
        """Return what the app's processes see: its own over the global ones."""
        return {**self.get(""), **self.get(app)}

    def set(self, scope: str, changes: Mapping[str, str]) -> bool:
        """Set config vars; say whether any value differs from before."""
        with self._db.transaction():
            before = self.get(scope)
            for key, value in changes.items():
                if before.get(key) == value:
                    continue
                self._db.change(
                    "INSERT INTO config (scope, key, value) VALUES (?, ?, ?)"
                    " ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value",
                    (scope, key, self._vault.seal(value)),
                )
        return any(before.get(key) != value for key, value in changes.items())

    def unset(self, scope: str, keys: Iterable[str]) -> bool:
        """Remove config vars; say whether any was there."""
        with self._db.transaction():
            gone = [self._db.change("DELETE FROM config WHERE scope = ? AND key = ?", (scope, key)) for key in keys]
        return any(gone)

    def replace(self, scope: str, values: Mapping[str, str]) -> None:
        """Make these all the config vars of the scope, together."""
        with self._db.transaction():
            self.unset(scope, [key for key in self.get(scope) if key not in values])
            self.set(scope, values)


    def reseal(self, vault: Vault) -> int:
        """Store every value as `vault` does; return how many there are."""
        with self._db.transaction():
            rows = self._db.rows("SELECT scope, key, value FROM config")
            for row in rows:
                sealed = vault.seal(self._vault.open(row["value"]))
                self._db.change("UPDATE config SET value = ? WHERE scope = ? AND key = ?", (sealed, row["scope"], row["key"]))
        return len(rows)


class Properties:
    """What `<topic>:set` keeps."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, scope: str, topic: str) -> dict[str, str]:
        """Return the scope's own properties of a topic."""
        rows = self._db.rows("SELECT key, value FROM properties WHERE scope = ? AND topic = ? ORDER BY key", (scope, topic))
        return {row["key"]: row["value"] for row in rows}

    def of_key(self, topic: str, key: str) -> dict[str, str]:
        """Return all that was set for one property, by scope."""
        rows = self._db.rows("SELECT scope, value FROM properties WHERE topic = ? AND key = ?", (topic, key))
        return {row["scope"]: row["value"] for row in rows}

    def set(self, scope: str, topic: str, key: str, value: str) -> None:
        """Set a property; an empty value clears it."""
        if value == "":
            self._db.change("DELETE FROM properties WHERE scope = ? AND topic = ? AND key = ?", (scope, topic, key))
            return
        self._db.change(
            "INSERT INTO properties (scope, topic, key, value) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (scope, topic, key) DO UPDATE SET value = excluded.value",
            (scope, topic, key, value),
        )

    def restore(self, app: str, topics: Iterable[str], wanted: Mapping[str, str]) -> None:
        """Make the app's merged properties of these topics be exactly `wanted` (as `topic.key`)."""
        with self._db.transaction():
            shared = self.merged("")
            for topic in topics:
                self._db.change("DELETE FROM properties WHERE scope = ? AND topic = ?", (app, topic))
            for name, value in wanted.items():
                topic, _, key = name.partition(".")
                if shared.get(name) != value:
                    self.set(app, topic, key, value)

    def merged(self, app: str) -> dict[str, str]:
        """Return all properties that hold for the app as `topic.key`: its own over the global ones."""
        rows = self._db.rows("SELECT * FROM properties WHERE scope IN ('', ?) ORDER BY scope", (app,))
        return {f"{row['topic']}.{row['key']}": row["value"] for row in rows}
