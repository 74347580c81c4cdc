"""Changing a container that is there: its name, limits, restart policy. Callers hold the container's lock."""

from __future__ import annotations

import json
from dataclasses import replace

from paas.engines.embedded.ground import Ground
from paas.engines.embedded.limits import write_limits
from paas.engines.embedded.making import give_name_back, take_name
from paas.engines.embedded.record import Record, container_from, write_record
from paas.engines.embedded.spec import resources
from paas.errors import HostProblem
from paas.host.files import atomic_write, disk_problem
from paas.model.container import Limits


def rename(ground: Ground, record: Record, name: str) -> Record:
    """Give a container another name. Raises Conflict when another container has it."""
    if name == record.name:
        return record
    take_name(ground, name, record.id)
    changed = replace(record, name=name)
    write_record(ground.home(record.id), changed)
    give_name_back(ground, record)
    return changed


def update(ground: Ground, record: Record, *, limits: Limits | None, restart: str | None) -> Record:
    """Change limits, at once if it runs, and restart policy. Raises HostProblem when the kernel refuses a limit."""
    home = ground.home(record.id)
    changed = replace(
        record,
        limits=record.limits if limits is None else limits,
        restart=record.restart if restart is None else restart,
    )
    try:
        if changed.limits != record.limits:
            _change_limits(ground, record, changed.limits)
        write_record(home, changed)
    except OSError as exc:
        raise disk_problem(exc, home) from exc
    return changed


def _change_limits(ground: Ground, record: Record, limits: Limits) -> None:
    """Change what runs, then what the next start reads."""
    home = ground.home(record.id)
    if container_from(home, record).is_running:
        try:
            write_limits(ground.hierarchies, ground.cgroup(record.tenant.number, record.id), limits)
        except OSError as exc:
            raise HostProblem(
                f"The limits of container {record.name or record.id} could not be changed: {exc}",
                remedy=f"a memory limit can not go below what is in use: paas container:stats --no-stream {record.id}",
            ) from exc
    config = json.loads((home / "config.json").read_bytes())
    config["linux"]["resources"] = resources(limits)
    atomic_write(home / "config.json", json.dumps(config).encode(), mode=0o600)
