"""Builds: every deploy, with how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from paas.errors import NotFound
from paas.model.appjson import parse_app_json
from paas.model.release import Build, BuildKind, BuildResult, BuildStatus
from paas.state.db import Database, Row
from paas.state.rows import ports_from_json, ports_to_json, processes_from_json, processes_to_json


class Builds:
    """The table `builds`. What has ended is never changed again."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def start(
        self, app: str, actor: str, cause: str, revision: str, now: float, *, kind: BuildKind = BuildKind.BUILD, pid: int = 0
    ) -> Build:
        """Record a deploy that begins; `pid` is the process that works on it."""
        with self._db.transaction():
            last = self._db.row("SELECT max(number) AS number FROM builds WHERE app = ?", (app,))
            number = ((last["number"] if last else None) or 0) + 1
            build_id = self._db.insert(
                "INSERT INTO builds (app, number, kind, status, actor, cause, revision, started_at, pid)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (app, number, kind, BuildStatus.RUNNING, actor, cause, revision, now, pid),
            )
        return self.get(build_id)

    def note_superseded(self, app: str, actor: str, cause: str, revision: str, *, by: str, since: float, now: float) -> Build:
        """Record a deploy that never began, as another took its place while it waited."""
        with self._db.transaction():
            build = self.start(app, actor, cause, revision, since)
            self.ask_to_cancel(build.id, by)
            return self.finish(build.id, BuildStatus.SUPERSEDED, now)

    def note_image(self, build_id: int, result: BuildResult) -> Build:
        """Record what a build made; the deploy goes on with it."""
        self._db.change(
            "UPDATE builds SET image = ?, builder = ?, processes = ?, ports = ?, app_json = ? WHERE id = ?",
            (
                result.image, result.builder, processes_to_json(result.processes), ports_to_json(result.ports),
                result.app_json.text, build_id,
            ),
        )  # fmt: skip
        return self.get(build_id)

    def finish(self, build_id: int, status: BuildStatus, now: float) -> Build:
        """Record how a running deploy ended; one that has ended stays as it is."""
        self._db.change(
            "UPDATE builds SET status = ?, finished_at = ?, pid = 0 WHERE id = ? AND status = ?",
            (status, now, build_id, BuildStatus.RUNNING),
        )
        return self.get(build_id)

    def finish_running(self, app: str, status: BuildStatus, now: float) -> int:
        """Record how the app's running deploy ended, if there is one. Returns how many there were."""
        return self._db.change(
            "UPDATE builds SET status = ?, finished_at = ?, pid = 0 WHERE app = ? AND status = ?",
            (status, now, app, BuildStatus.RUNNING),
        )

    def ask_to_cancel(self, build_id: int, actor: str) -> bool:
        """Record who wants a running deploy to end; say whether it still runs."""
        return bool(
            self._db.change(
                "UPDATE builds SET canceled_by = ? WHERE id = ? AND status = ?", (actor, build_id, BuildStatus.RUNNING)
            )
        )

    def get(self, build_id: int) -> Build:
        """Return one build. Raises NotFound."""
        row = self._db.row("SELECT * FROM builds WHERE id = ?", (build_id,))
        if row is None:
            raise NotFound(f"Build {build_id} does not exist", remedy="see: paas builds:list <app>")
        return _build(row)

    def list(self, app: str) -> tuple[Build, ...]:
        """Return the app's builds, newest first."""
        return tuple(_build(row) for row in self._db.rows("SELECT * FROM builds WHERE app = ? ORDER BY id DESC", (app,)))

    def running(self, app: str = "") -> tuple[Build, ...]:
        """Return what runs now, of one app or of all, oldest first."""
        rows = self._db.rows(
            "SELECT * FROM builds WHERE status = ? AND ? IN ('', app) ORDER BY id", (BuildStatus.RUNNING, app)
        )
        return tuple(_build(row) for row in rows)

    def forget(self, build_ids: Sequence[int]) -> None:
        """Remove records, but never one of a deploy under way."""
        with self._db.transaction():
            for build_id in build_ids:
                self._db.change("DELETE FROM builds WHERE id = ? AND status != ?", (build_id, BuildStatus.RUNNING))

    def abandon_running(self, now: float) -> int:
        """Mark every running build as abandoned: after a start of the machine nobody works on them. Returns how many."""
        return self._db.change(
            "UPDATE builds SET status = ?, finished_at = ?, pid = 0 WHERE status = ?",
            (BuildStatus.ABANDONED, now, BuildStatus.RUNNING),
        )


def _build(row: Row) -> Build:
    return Build(
        id=row["id"], app=row["app"], number=row["number"], kind=BuildKind(row["kind"]), status=BuildStatus(row["status"]),
        actor=row["actor"], cause=row["cause"], revision=row["revision"], started_at=row["started_at"],
        finished_at=row["finished_at"], release=row["release"], canceled_by=row["canceled_by"], pid=row["pid"],
        image=row["image"], builder=row["builder"], processes=processes_from_json(row["processes"]),
        ports=ports_from_json(row["ports"]), app_json=parse_app_json(row["app_json"]),
    )  # fmt: skip
