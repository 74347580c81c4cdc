"""Intent, in one SQLite file: apps, config, builds, releases, routes, keys, events. Facts are asked of the kernel instead."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from paas.state.access import Access
from paas.state.apps import Apps
from paas.state.builds import Builds
from paas.state.config import Config, Properties
from paas.state.cron import Cron
from paas.state.db import Database
from paas.state.events import Events
from paas.state.releases import Releases
from paas.state.routes import Routes
from paas.state.vault import Vault


class State:
    """All that the administrator and the users asked for. Safe to use after a fork and from several threads.

    With a key file config vars are encrypted, also those that releases took along.
    """

    def __init__(self, file: Path, *, key_file: Path | None = None) -> None:
        self.db = Database(file)
        self.vault = Vault(key_file)
        self.apps = Apps(self.db)
        self.config = Config(self.db, self.vault)
        self.properties = Properties(self.db)
        self.builds = Builds(self.db)
        self.releases = Releases(self.db, self.vault)
        self.routes = Routes(self.db)
        self.access = Access(self.db)
        self.events = Events(self.db)
        self.cron = Cron(self.db)

    def reseal(self, vault: Vault) -> int:
        """Store all config vars as `vault` does, together, and leave nothing of how they were; return how many values."""
        with self.db.transaction():
            count = self.config.reseal(vault) + self.releases.reseal(vault)
        self.db.scrub()
        return count

    @property
    def has_sealed(self) -> bool:
        """Say whether anything is encrypted."""
        query = "SELECT 1 FROM config WHERE typeof(value) = 'blob' UNION ALL SELECT 1 FROM releases WHERE typeof(config) = 'blob'"
        return self.db.row(f"{query} LIMIT 1") is not None

    def transaction(self) -> AbstractContextManager[None]:
        """Make all changes inside take place together, or none. Nested ones join the outermost."""
        return self.db.transaction()
