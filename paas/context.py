"""The composition root: builds every part from settings and paths, and is handed down to workflows.

Plug-ins are loaded by name (entry points `paas.builders`, `paas.schedulers`, `paas.proxies`); nothing here names one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from paas import plugins
from paas.builders import Builder
from paas.engines import Engine
from paas.errors import InvalidSetting
from paas.output import Output
from paas.paths import Paths
from paas.proxies import Proxy
from paas.schedulers import Scheduler
from paas.settings import Settings, load_settings
from paas.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks: the name of an SSH key, or a local user. Administrators are root on this machine."""

    name: str
    is_admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All parts of one instance, for one command."""

    paths: Paths
    settings: Settings
    state: State
    engine: Engine
    scheduler: Scheduler
    proxy: Proxy
    builders: tuple[Builder, ...]
    output: Output
    identity: Identity
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def with_output(self, output: Output) -> Context:
        """Return the same context writing elsewhere."""
        return replace(self, output=output)


def key_file(settings: Settings) -> Path | None:
    """Return where the key for config vars is, None when they are not encrypted. Raises InvalidSetting."""
    if not settings.config_key_file:
        return None
    file = Path(settings.config_key_file)
    if not file.is_absolute():
        raise InvalidSetting(f"config-key-file must begin with '/': {file}", remedy="e.g. /etc/paas/config.key")
    return file


def make_context(
    *, paths: Paths | None = None, settings: Settings | None = None, output: Output | None = None,
    identity: Identity | None = None,
) -> Context:
    """Build the context of this machine's instance. Raises InvalidSetting."""
    paths = paths or Paths.from_environment()
    settings = settings or load_settings(paths.settings_file)
    engine = cast(Engine, plugins.load("engines", "embedded")(paths=paths, settings=settings))
    builders = [load(engine=engine, paths=paths, settings=settings) for load in plugins.load_all("builders")]
    return Context(
        paths=paths,
        settings=settings,
        state=State(paths.database, key_file=key_file(settings)),
        engine=engine,
        scheduler=cast(Scheduler, plugins.load("schedulers", "local")(engine=engine, paths=paths, settings=settings)),
        proxy=cast(Proxy, plugins.load("proxies", "nginx")(paths=paths, settings=settings)),
        builders=tuple(cast("list[Builder]", builders)),
        output=output or Output(),
        identity=identity or Identity(name="root", is_admin=True),
    )
