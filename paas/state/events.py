"""Events: who did what to which app, when."""

from __future__ import annotations

from dataclasses import dataclass

from paas.state.db import Database

#: Older events are forgotten once there are so many.
KEPT_EVENTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry; `at` in epoch seconds."""

    app: str
    actor: str
    event: str
    detail: str
    at: float


class Events:
    """The table `events`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def record(self, app: str, actor: str, event: str, detail: str, now: float) -> None:
        """Append an event."""
        with self._db.transaction():
            newest = self._db.insert(
                "INSERT INTO events (app, actor, event, detail, at) VALUES (?, ?, ?, ?, ?)", (app, actor, event, detail, now)
            )
            self._db.change("DELETE FROM events WHERE id <= ?", (newest - KEPT_EVENTS,))

    def list(self, app: str = "", limit: int = 100) -> tuple[Event, ...]:
        """Return the newest events, of one app or of all, oldest first."""
        rows = self._db.rows("SELECT * FROM events WHERE ? IN ('', app) ORDER BY id DESC LIMIT ?", (app, limit))
        return tuple(
            Event(app=r["app"], actor=r["actor"], event=r["event"], detail=r["detail"], at=r["at"]) for r in reversed(rows)
        )
