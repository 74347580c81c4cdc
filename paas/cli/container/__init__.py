"""`container:*`: containers of the engine by hand, with Docker's flags; for administrators. Apps have `ps:*` and `run`."""

from __future__ import annotations

from paas.cli.container.copying import copy
from paas.cli.container.life import commit, kill, remove, rename, restart, stop, update, wait
from paas.cli.container.logs import logs
from paas.cli.container.running import attach, create, execute, run, start
from paas.cli.container.showing import inspect, port, ps, stats, top
from paas.cli.container.volumes import create_volume, list_volumes, remove_volume

COMMANDS = (
    run, create, ps, start, stop, restart, kill, remove, wait, rename, update, logs, execute, attach, copy, commit, port, inspect,
    stats, top, list_volumes, create_volume, remove_volume,
)  # fmt: skip
