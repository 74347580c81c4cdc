"""Cron: what was suspended, and every run with what became of it."""

from __future__ import annotations

from paas.errors import NotFound
from paas.model.appjson import AppJson, CronTask, parse_app_json
from paas.model.cron import CronRun, CronStatus
from paas.model.release import ReleaseStatus
from paas.state.db import Database, Row


class Cron:
    """The tables `cron_tasks` and `cron_runs`; the tasks themselves are in the current releases."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def scheduled(self) -> tuple[tuple[str, AppJson, float], ...]:
        """Return the apps whose current release may have tasks, with what it says and when it was made."""
        rows = self._db.rows(
            "SELECT app, app_json, created_at FROM releases WHERE status = ? AND app_json LIKE '%\"cron\"%' ORDER BY app",
            (ReleaseStatus.CURRENT,),
        )
        return tuple((row["app"], parse_app_json(row["app_json"]), row["created_at"]) for row in rows)

    def suspensions(self) -> dict[tuple[str, str], bool]:
        """Return what was said about tasks, by app and task: suspended or not."""
        return {(row["app"], row["task"]): bool(row["is_suspended"]) for row in self._db.rows("SELECT * FROM cron_tasks")}

    def set_suspended(self, app: str, task: str, is_suspended: bool) -> None:
        """Record that a task is suspended, or is not."""
        self._db.change(
            "INSERT INTO cron_tasks (app, task, is_suspended) VALUES (?, ?, ?)"
            " ON CONFLICT (app, task) DO UPDATE SET is_suspended = excluded.is_suspended",
            (app, task, is_suspended),
        )

    def last_moments(self) -> dict[tuple[str, str], float]:
        """Return the last moment of each task that was dealt with, by app and task."""
        rows = self._db.rows("SELECT app, task, max(moment) AS moment FROM cron_runs WHERE moment IS NOT NULL GROUP BY app, task")
        return {(row["app"], row["task"]): row["moment"] for row in rows}

    def claim(self, app: str, task: CronTask, moment: float, now: float, *, actor: str) -> int:
        """Queue the run for a moment, 0 for one that somebody asked for; return its id, 0 if that moment was dealt with."""
        with self._db.transaction():
            if moment and self._is_dealt_with(app, task.id, moment):
                return 0
            return self._db.insert(
                "INSERT INTO cron_runs (app, task, command, moment, status, actor, queued_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (app, task.id, task.command, moment or None, CronStatus.QUEUED, actor, now),
            )

    def note_missed(self, app: str, task: CronTask, moment: float, now: float, *, detail: str) -> None:
        """Record that runs were missed, the last of them at `moment`."""
        with self._db.transaction():
            if not self._is_dealt_with(app, task.id, moment):
                self._db.insert(
                    "INSERT INTO cron_runs (app, task, command, moment, status, actor, queued_at, finished_at, detail)"
                    " VALUES (?, ?, ?, ?, ?, '', ?, ?, ?)",
                    (app, task.id, task.command, moment, CronStatus.MISSED, now, now, detail),
                )

    def start(self, run_id: int, release: int, now: float) -> None:
        """Record that a queued run's container runs."""
        self._db.change(
            "UPDATE cron_runs SET status = ?, release = ?, started_at = ? WHERE id = ? AND status = ?",
            (CronStatus.RUNNING, release, now, run_id, CronStatus.QUEUED),
        )

    def end_early(self, run_id: int, status: CronStatus, detail: str) -> None:
        """Record why a running one is about to be stopped: what it is to be called when it has ended."""
        self._db.change(
            "UPDATE cron_runs SET status = ?, detail = ? WHERE id = ? AND status = ?",
            (status, detail, run_id, CronStatus.RUNNING),
        )

    def finish(self, run_id: int, status: CronStatus, now: float, *, exit_code: int | None = None, detail: str = "") -> None:
        """Record how a run ended; one that has ended already is left alone."""
        self._db.change(
            "UPDATE cron_runs SET status = ?, finished_at = ?, exit_code = ?, detail = CASE ? WHEN '' THEN detail ELSE ? END"
            " WHERE id = ? AND finished_at = 0",
            (status, now, exit_code, detail, detail, run_id),
        )

    def run(self, run_id: int) -> CronRun:
        """Return one run. Raises NotFound."""
        row = self._db.row("SELECT * FROM cron_runs WHERE id = ?", (run_id,))
        if row is None:
            raise NotFound(f"There is no cron run {run_id}", remedy="see: paas cron:history <app>")
        return _run(row)

    def runs(self, app: str, task: str = "") -> tuple[CronRun, ...]:
        """Return the runs of an app, or of one of its tasks, newest first."""
        rows = self._db.rows(
            "SELECT * FROM cron_runs WHERE app = ? AND (? = '' OR task = ?) ORDER BY id DESC", (app, task, task)
        )
        return tuple(_run(row) for row in rows)

    def open_runs(self, app: str = "") -> tuple[CronRun, ...]:
        """Return the runs of an app ('' for all) that have not ended, oldest first."""
        rows = self._db.rows("SELECT * FROM cron_runs WHERE finished_at = 0 AND (? = '' OR app = ?) ORDER BY id", (app, app))
        return tuple(_run(row) for row in rows)

    def prune(self, *, keep: int, ended_before: float) -> tuple[CronRun, ...]:
        """Forget all but the newest `keep` runs of each task, only those that ended so long ago; return what went."""
        with self._db.transaction():
            rows = self._db.rows(
                "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY app, task ORDER BY id DESC) AS place FROM cron_runs)"
                " WHERE place > ? AND finished_at > 0 AND finished_at < ?",
                (keep, ended_before),
            )
            for row in rows:
                self._db.change("DELETE FROM cron_runs WHERE id = ?", (row["id"],))
        return tuple(_run(row) for row in rows)

    def _is_dealt_with(self, app: str, task: str, moment: float) -> bool:
        query = "SELECT 1 FROM cron_runs WHERE app = ? AND task = ? AND moment = ?"
        return self._db.row(query, (app, task, moment)) is not None


def _run(row: Row) -> CronRun:
    return CronRun(
        id=row["id"], app=row["app"], task=row["task"], command=row["command"], moment=row["moment"] or 0.0,
        status=CronStatus(row["status"]), actor=row["actor"], queued_at=row["queued_at"], release=row["release"],
        started_at=row["started_at"], finished_at=row["finished_at"], exit_code=row["exit_code"], detail=row["detail"],
    )  # fmt: skip
