"""Builds: every attempt, with how it ended."""

from __future__ import annotations

from paas.errors import NotFound
from paas.model.appjson import parse_app_json
from paas.model.release import Build, BuildResult, BuildStatus
from paas.state.db import Database, Row
from paas.state.rows import ports_from_json, ports_to_json, processes_from_json, processes_to_json


class Builds:
    """The table `builds`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def start(self, app: str, actor: str, cause: str, revision: str, now: float) -> Build:
        """Record a build that begins."""
        with self._db.transaction():
            last = self._db.row("SELECT max(number) AS number FROM builds WHERE app = ?", (app,))
            number = ((last["number"] if last else None) or 0) + 1
            build_id = self._db.insert(
                "INSERT INTO builds (app, number, status, actor, cause, revision, started_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (app, number, BuildStatus.RUNNING, actor, cause, revision, now),
            )
        return self.get(build_id)

    def finish(self, build_id: int, status: BuildStatus, now: float, result: BuildResult | None) -> Build:
        """Record how a build ended and what came out."""
        result = result or BuildResult(image="")
        self._db.change(
            "UPDATE builds SET status = ?, finished_at = ?, image = ?, builder = ?, processes = ?, ports = ?, app_json = ?"
            " WHERE id = ?",
            (
                status, now, result.image, result.builder, processes_to_json(result.processes), ports_to_json(result.ports),
                result.app_json.text, build_id,
            ),
        )  # fmt: skip
        return self.get(build_id)

    def get(self, build_id: int) -> Build:
        """Return one build. Raises NotFound."""
        row = self._db.row("SELECT * FROM builds WHERE id = ?", (build_id,))
        if row is None:
            raise NotFound(f"Build {build_id} does not exist", remedy="see: paas builds:list <app>")
        return _build(row)

    def list(self, app: str) -> tuple[Build, ...]:
        """Return the app's builds, newest first."""
        return tuple(_build(row) for row in self._db.rows("SELECT * FROM builds WHERE app = ? ORDER BY id DESC", (app,)))

    def abandon_running(self, now: float) -> int:
        """Mark every running build as abandoned: after a start of the machine nobody works on them. Returns how many."""
        return self._db.change(
            "UPDATE builds SET status = ?, finished_at = ? WHERE status = ?", (BuildStatus.ABANDONED, now, BuildStatus.RUNNING)
        )


def _build(row: Row) -> Build:
    return Build(
        id=row["id"], app=row["app"], number=row["number"], status=BuildStatus(row["status"]), actor=row["actor"],
        cause=row["cause"], revision=row["revision"], started_at=row["started_at"], finished_at=row["finished_at"],
        image=row["image"], builder=row["builder"], processes=processes_from_json(row["processes"]),
        ports=ports_from_json(row["ports"]), app_json=parse_app_json(row["app_json"]),
    )  # fmt: skip
