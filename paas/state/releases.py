"""Releases: the append-only ledger of each app."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from paas.errors import Conflict, NotFound
from paas.model.appjson import NO_APP_JSON, AppJson, parse_app_json
from paas.model.env import Secret
from paas.model.process import ProcessType
from paas.model.release import BuildStatus, Release, ReleaseStatus, config_diff
from paas.state.db import Database, Row
from paas.state.rows import ports_from_json, ports_to_json, processes_from_json, processes_to_json
from paas.state.vault import Stored, Vault


class Releases:
    """The table `releases`. At most one release of an app is current; the database itself refuses a second."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault

    def append(
        self, *, app: str, build_id: int, image: str, processes: tuple[ProcessType, ...], ports: tuple[int, ...],
        config: Mapping[str, str], formation: Mapping[str, int], actor: str, cause: str, now: float, revision: str = "",
        app_json: AppJson = NO_APP_JSON, properties: Mapping[str, str] | None = None,
    ) -> Release:
        """Append a pending release with the next version; the deploy under way is recorded as the one that made it."""
        with self._db.transaction():
            current = self.current(app)
            diff = config_diff(current.config if current else {}, config)
            last = self._db.row("SELECT max(version) AS version FROM releases WHERE app = ?", (app,))
            version = ((last["version"] if last else None) or 0) + 1
            self._db.change(
                "INSERT INTO releases (app, version, build_id, image, processes, ports, config, formation, status, actor, cause,"
                " revision, properties, created_at, app_json, diff) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    app, version, build_id, image, processes_to_json(processes), ports_to_json(ports),
                    self._vault.seal(json.dumps(dict(config))), json.dumps(dict(formation)), ReleaseStatus.PENDING, actor, cause,
                    revision, json.dumps(dict(properties or {})), now, app_json.text, json.dumps(diff),
                ),
            )  # fmt: skip
            self._db.change(
                "UPDATE builds SET release = ? WHERE app = ? AND status = ?", (version, app, BuildStatus.RUNNING)
            )
        return self.get(app, version)

    def current(self, app: str) -> Release | None:
        """Return the release that serves, or None."""
        row = self._db.row("SELECT * FROM releases WHERE app = ? AND status = ?", (app, ReleaseStatus.CURRENT))
        return self._release(row) if row else None

    def get(self, app: str, version: int) -> Release:
        """Return one release. Raises NotFound."""
        row = self._db.row("SELECT * FROM releases WHERE app = ? AND version = ?", (app, version))
        if row is None:
            raise NotFound(f"{app} has no release v{version}", remedy=f"see: paas releases:list {app}")
        return self._release(row)

    def list(self, app: str) -> tuple[Release, ...]:
        """Return the app's releases, newest first."""
        rows = self._db.rows("SELECT * FROM releases WHERE app = ? ORDER BY version DESC", (app,))
        return tuple(self._release(row) for row in rows)

    def pending(self, app: str) -> tuple[Release, ...]:
        """Return the app's releases that somebody works on, or was working on."""
        rows = self._db.rows("SELECT * FROM releases WHERE app = ? AND status = ?", (app, ReleaseStatus.PENDING))
        return tuple(self._release(row) for row in rows)

    def mark(self, app: str, version: int, status: ReleaseStatus, now: float) -> None:
        """Record what became of a release that does not serve, or no more. Raises NotFound."""
        changed = self._db.change(
            "UPDATE releases SET status = ?, ended_at = ? WHERE app = ? AND version = ?", (status, now, app, version)
        )
        if changed == 0:
            raise NotFound(f"{app} has no release v{version}", remedy=f"see: paas releases:list {app}")

    def set_image(self, app: str, version: int, image: str) -> Release:
        """Record the image that a pending release's predeploy task left. Raises Conflict once it is not pending."""
        changed = self._db.change(
            "UPDATE releases SET image = ? WHERE app = ? AND version = ? AND status = ?",
            (image, app, version, ReleaseStatus.PENDING),
        )
        if changed == 0:
            raise Conflict(f"v{version} of {app} is not pending", remedy=f"see: paas releases:list {app}")
        return self.get(app, version)

    def promote(self, app: str, version: int, now: float) -> None:
        """Make a release the current one and its predecessor superseded, together. Raises NotFound."""
        with self._db.transaction():
            self._db.change(
                "UPDATE releases SET status = ?, ended_at = ? WHERE app = ? AND status = ? AND version != ?",
                (ReleaseStatus.SUPERSEDED, now, app, ReleaseStatus.CURRENT, version),
            )
            changed = self._db.change(
                "UPDATE releases SET status = ?, live_at = ?, ended_at = 0 WHERE app = ? AND version = ?",
                (ReleaseStatus.CURRENT, now, app, version),
            )
            if changed == 0:
                raise NotFound(f"{app} has no release v{version}", remedy=f"see: paas releases:list {app}")

    def reseal(self, vault: Vault) -> int:
        """Store the config of every release as `vault` does; return how many there are."""
        with self._db.transaction():
            rows = self._db.rows("SELECT app, version, config FROM releases")
            for row in rows:
                sealed = vault.seal(self._vault.open(row["config"]))
                self._db.change(
                    "UPDATE releases SET config = ? WHERE app = ? AND version = ?", (sealed, row["app"], row["version"])
                )
        return len(rows)

    def _release(self, row: Row) -> Release:
        return Release(
            app=row["app"], version=row["version"], build_id=row["build_id"], image=row["image"],
            processes=processes_from_json(row["processes"]), ports=ports_from_json(row["ports"]),
            config=_Snapshot(row["config"], self._vault),
            formation=json.loads(row["formation"]), status=ReleaseStatus(row["status"]), actor=row["actor"], cause=row["cause"],
            created_at=row["created_at"], live_at=row["live_at"], ended_at=row["ended_at"], diff=tuple(json.loads(row["diff"])),
            revision=row["revision"], app_json=parse_app_json(row["app_json"]), properties=json.loads(row["properties"]),
        )  # fmt: skip


class _Snapshot(Mapping[str, str]):
    """The config vars of a release, opened when somebody looks at them: listing releases needs no key, and no time for it."""

    def __init__(self, stored: Stored, vault: Vault) -> None:
        self._stored, self._vault = stored, vault
        self._opened: dict[str, str] | None = None

    def __getitem__(self, key: str) -> str:
        return self._values()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return "{***}"

    def _values(self) -> dict[str, str]:
        if self._opened is None:
            said = json.loads(self._vault.open(self._stored))
            self._opened = {key: Secret(value) for key, value in said.items()}
        return self._opened
