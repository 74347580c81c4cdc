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


class State:
    """All that the administrator and the users asked for. Safe to use after a fork and from several threads."""

    def __init__(self, file: Path) -> None:
        self.db = Database(file)
        self.apps = Apps(self.db)
        self.config = Config(self.db)
        self.properties = Properties(self.db)
        self.builds = Builds(self.db)
        self.releases = Releases(self.db)
        self.routes = Routes(self.db)
        self.access = Access(self.db)
        self.events = Events(self.db)
        self.cron = Cron(self.db)

    def transaction(self) -> AbstractContextManager[None]:
        """Make all changes inside take place together, or none. Nested ones join the outermost."""
        return self.db.transaction()
