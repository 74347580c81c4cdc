"""Apps with their formation and restart generations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from paas.errors import Conflict, NotFound
from paas.model.app import App
from paas.state.db import Database, Row


class Apps:
    """The table `apps`, and `processes` with what was scaled and restarted."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self, name: str, now: float) -> App:
        """Record a new app under the smallest number that no app has. Raises Conflict when the name is taken."""
        with self._db.transaction():
            if self.find(name) is not None:
                raise Conflict(f"Name is already taken: {name}", remedy="choose another, or see: paas apps:list")
            taken = {row["number"] for row in self._db.rows("SELECT number FROM apps")}
            number = next(n for n in range(1, len(taken) + 2) if n not in taken)
            self._db.change("INSERT INTO apps (name, number, created_at) VALUES (?, ?, ?)", (name, number, now))
        return self.get(name)

    def get(self, name: str) -> App:
        """Return the app. Raises NotFound."""
        app = self.find(name)
        if app is None:
            raise NotFound(f"App {name} does not exist", remedy="see: paas apps:list")
        return app

    def find(self, name: str) -> App | None:
        """Return the app, or None."""
        row = self._db.row("SELECT * FROM apps WHERE name = ?", (name,))
        return _app(row) if row else None

    def list(self) -> tuple[App, ...]:
        """Return all apps by name."""
        return tuple(_app(row) for row in self._db.rows("SELECT * FROM apps ORDER BY name"))

    def rename(self, old: str, new: str) -> None:
        """Give an app and everything recorded under its name another one."""
        with self._db.transaction():
            self._db.change("UPDATE apps SET name = ? WHERE name = ?", (new, old))
            for table in ("config", "properties", "domains"):
                self._db.change(f"UPDATE {table} SET scope = ? WHERE scope = ?", (new, old))
            self._db.change("UPDATE events SET app = ? WHERE app = ?", (new, old))

    def destroy(self, name: str) -> None:
        """Forget an app and everything recorded under its name but its events."""
        with self._db.transaction():
            self._db.change("DELETE FROM apps WHERE name = ?", (name,))
            for table in ("config", "properties", "domains"):
                self._db.change(f"DELETE FROM {table} WHERE scope = ?", (name,))

    def set_stopped(self, name: str, is_stopped: bool) -> None:
        """Record whether the app should run at all."""
        self._db.change("UPDATE apps SET is_stopped = ? WHERE name = ?", (is_stopped, name))

    def set_locked(self, name: str, is_locked: bool) -> None:
        """Record whether deploys are refused."""
        self._db.change("UPDATE apps SET is_locked = ? WHERE name = ?", (is_locked, name))

    def has_postdeployed(self, name: str) -> bool:
        """Say whether the script that runs once, after the first deploy, is done with."""
        row = self._db.row("SELECT has_postdeployed FROM apps WHERE name = ?", (name,))
        return row is not None and bool(row["has_postdeployed"])

    def note_postdeployed(self, name: str) -> None:
        """Record that the script that runs once is done with."""
        self._db.change("UPDATE apps SET has_postdeployed = 1 WHERE name = ?", (name,))

    def set_deploy_branch(self, name: str, branch: str) -> App:
        """Record which branch deploys; '' means the first that is pushed. Returns the app as it is then."""
        self._db.change("UPDATE apps SET deploy_branch = ? WHERE name = ?", (branch, name))
        return self.get(name)

    def formation(self, name: str) -> dict[str, int]:
        """Return the process types that were scaled, with their counts."""
        rows = self._db.rows("SELECT type, quantity FROM processes WHERE app = ? AND quantity IS NOT NULL", (name,))
        return {row["type"]: row["quantity"] for row in rows}

    def scale(self, name: str, changes: Mapping[str, int]) -> None:
        """Record counts of process types; other types keep theirs."""
        with self._db.transaction():
            for kind, quantity in changes.items():
                self._db.change(
                    "INSERT INTO processes (app, type, quantity) VALUES (?, ?, ?)"
                    " ON CONFLICT (app, type) DO UPDATE SET quantity = excluded.quantity",
                    (name, kind, quantity),
                )

    def generations(self, name: str) -> dict[str, int]:
        """Return how often each process type was restarted; a missing one never was."""
        rows = self._db.rows("SELECT type, generation FROM processes WHERE app = ? AND generation > 0", (name,))
        return {row["type"]: row["generation"] for row in rows}

    def bump_generations(self, name: str, types: Iterable[str]) -> dict[str, int]:
        """Count one more restart of these types; return all generations."""
        with self._db.transaction():
            for kind in types:
                self._db.change(
                    "INSERT INTO processes (app, type, generation) VALUES (?, ?, 1)"
                    " ON CONFLICT (app, type) DO UPDATE SET generation = generation + 1",
                    (name, kind),
                )
        return self.generations(name)


def _app(row: Row) -> App:
    return App(
        name=row["name"], number=row["number"], created_at=row["created_at"], deploy_branch=row["deploy_branch"],
        is_locked=bool(row["is_locked"]), is_stopped=bool(row["is_stopped"]),
    )  # fmt: skip
