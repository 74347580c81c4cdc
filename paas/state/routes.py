"""Routes as they were set: domains and port maps. Defaults are derived elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from paas.model.process import WEB
from paas.model.route import PortMap
from paas.state.db import Database


class Routes:
    """The tables `domains` and `ports`; the scope '' holds the global domains."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def domains(self, scope: str, process: str = WEB) -> tuple[str, ...]:
        """Return the domains that were set, in their order: the app's, or those of a process type alone."""
        query = "SELECT domain FROM domains WHERE scope = ? AND process = ? ORDER BY position"
        return tuple(row["domain"] for row in self._db.rows(query, (scope, process)))

    def process_domains(self, app: str) -> dict[str, tuple[str, ...]]:
        """Return the process types that have domains of their own, with these."""
        rows = self._db.rows("SELECT DISTINCT process FROM domains WHERE scope = ? AND process != ?", (app, WEB))
        return {row["process"]: self.domains(app, row["process"]) for row in rows}

    def set_domains(self, scope: str, domains: Sequence[str], process: str = WEB) -> None:
        """Replace the domains; none means the default ones again."""
        with self._db.transaction():
            self._db.change("DELETE FROM domains WHERE scope = ? AND process = ?", (scope, process))
            for position, domain in enumerate(dict.fromkeys(domains)):
                self._db.change(
                    "INSERT INTO domains (scope, domain, process, position) VALUES (?, ?, ?, ?)",
                    (scope, domain, process, position),
                )

    def ports(self, app: str) -> tuple[PortMap, ...]:
        """Return the port maps that were set, in their order."""
        rows = self._db.rows("SELECT * FROM ports WHERE app = ? ORDER BY position", (app,))
        return tuple(PortMap(scheme=r["scheme"], host=r["host"], container=r["container"], process=r["process"]) for r in rows)

    def set_ports(self, app: str, ports: Sequence[PortMap]) -> None:
        """Replace the port maps; none means the default again."""
        with self._db.transaction():
            self._db.change("DELETE FROM ports WHERE app = ?", (app,))
            for position, port in enumerate(ports):
                self._db.change(
                    "INSERT INTO ports (app, scheme, host, container, process, position) VALUES (?, ?, ?, ?, ?, ?)",
                    (app, port.scheme, port.host, port.container, port.process, position),
                )
