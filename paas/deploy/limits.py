"""Resource limits of builds and one-off containers, from properties and settings. Pure but for the machine's size."""

from __future__ import annotations

import os
from collections.abc import Mapping

from paas.model.container import Limits
from paas.settings import Settings

MIB = 1024 * 1024


def build_limits(properties: Mapping[str, str], settings: Settings) -> Limits:
    """Return what a build may use. By default a build never takes the whole machine."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = os.cpu_count() or 1
    memory = int(properties.get("resource.limit.build.memory", "0")) * MIB or settings.build_memory_mb * MIB
    cpu = int(float(properties.get("resource.limit.build.cpu", "0")) * 1000) or settings.build_cpu_millis
    return Limits(
        memory_bytes=memory or machine_bytes * 3 // 4,
        cpu_millis=cpu or cores * 900,
        pids=settings.pids,
    )


def oneoff_limits(properties: Mapping[str, str], settings: Settings) -> Limits:
    """Return what a one-off container of the app may use: what its processes may by default. Pure."""
    return Limits(
        memory_bytes=int(properties.get("resource.limit.memory") or settings.memory_mb) * MIB,
        cpu_millis=int(float(properties.get("resource.limit.cpu") or 0) * 1000),
        pids=settings.pids,
    )
