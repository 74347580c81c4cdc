"""Limits of a container that runs, written to its cgroups: crun's own update can lift none but memory's. At start crun sets them.

Source: cgroup-v2.rst; cgroup-v1/memory.rst, pids.rst; sched-bwc.rst.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from paas.engines.embedded.cgroups import Hierarchies
from paas.model.container import Limits

PERIOD_US = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What to write to a file of a controller's cgroup."""

    controller: str
    file: str
    value: str


def quota_us(limits: Limits) -> int:
    """Return how long a container may run in each period; 0 without a limit. The kernel allows no less than 1 ms."""
    return max(limits.cpu_millis * PERIOD_US // 1000, 1000) if limits.cpu_millis else 0


def cpu_shares(limits: Limits) -> int:
    """Return the weight of a reservation in v1's scale, where 1024 is one core's worth; 0 without one."""
    return max(limits.reserved_cpu_millis * 1024 // 1000, 2) if limits.reserved_cpu_millis else 0


def settings_v2(limits: Limits) -> tuple[Setting, ...]:
    """Return all limits as files of a v2 cgroup. Pure."""
    memory = str(limits.memory_bytes or "max")
    swap = str(limits.swap_bytes) if limits.memory_bytes and limits.swap_bytes >= 0 else "max"
    # From v1's 2..262144 to v2's 1..10000, as crun does.
    weight = 1 + (cpu_shares(limits) - 2) * 9999 // 262142 if limits.reserved_cpu_millis else 100
    return (
        Setting(controller="memory", file="memory.max", value=memory),
        Setting(controller="memory", file="memory.swap.max", value=swap),
        Setting(controller="memory", file="memory.low", value=str(limits.reserved_memory_bytes)),
        Setting(controller="cpu", file="cpu.weight", value=str(weight)),
        Setting(controller="cpu", file="cpu.max", value=f"{quota_us(limits) or 'max'} {PERIOD_US}"),
        Setting(controller="pids", file="pids.max", value=str(limits.pids or "max")),
    )


def settings_v1(limits: Limits) -> tuple[Setting, ...]:
    """Return all limits as files of the v1 controllers. Pure."""
    memory = limits.memory_bytes or -1
    total = memory + limits.swap_bytes if limits.memory_bytes and limits.swap_bytes >= 0 else -1
    return (
        Setting(controller="memory", file="memory.limit_in_bytes", value=str(memory)),
        Setting(controller="memory", file="memory.memsw.limit_in_bytes", value=str(total)),
        Setting(controller="memory", file="memory.soft_limit_in_bytes", value=str(limits.reserved_memory_bytes or -1)),
        Setting(controller="cpu", file="cpu.shares", value=str(cpu_shares(limits) or 1024)),
        Setting(controller="cpu", file="cpu.cfs_period_us", value=str(PERIOD_US)),
        Setting(controller="cpu", file="cpu.cfs_quota_us", value=str(quota_us(limits) or -1)),
        Setting(controller="pids", file="pids.max", value=str(limits.pids or "max")),
    )


def write_limits(found: Hierarchies, cgroup: str, limits: Limits) -> None:
    """Set all limits of a cgroup. Raises OSError when the kernel refuses one."""
    roots = dict(found.controllers)
    settings = settings_v2(limits) if found.is_pure_v2 else settings_v1(limits)
    refused: list[tuple[Setting, Path]] = []
    for setting in settings:
        root = found.unified if found.is_pure_v2 else roots.get(setting.controller)
        if root is None:
            continue
        file = root / cgroup.lstrip("/") / setting.file
        try:
            with contextlib.suppress(FileNotFoundError):  # this kernel counts no swap
                _write(file, setting.value)
        except OSError:
            refused.append((setting, file))
    for setting, file in refused:  # memory may not pass memory and swap together: the other one has made room now
        _write(file, setting.value)


def _write(file: Path, value: str) -> None:
    with file.open("r+") as stream:  # without O_CREAT: a missing file is a missing controller
        stream.write(value)
