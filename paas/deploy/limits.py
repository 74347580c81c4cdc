"""Resource limits of builds and one-off containers, from properties and settings. Pure but for the machine's size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from paas.model.container import Limits
from paas.model.resources import BUILD, MIB, limits_of
from paas.settings import Settings


def build_limits(properties: Mapping[str, str], settings: Settings) -> Limits:
    """Return what a build may use. By default a build never takes the whole machine."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = os.cpu_count() or 1
    defaults = replace(settings, memory_mb=settings.build_memory_mb)
    wanted = limits_of(properties, BUILD, defaults)
    return replace(
        wanted,
        memory_bytes=wanted.memory_bytes or machine_bytes * 3 // 4 // MIB * MIB,
        cpu_millis=wanted.cpu_millis or settings.build_cpu_millis or cores * 900,
    )


def oneoff_limits(properties: Mapping[str, str], settings: Settings, process: str = "run") -> Limits:
    """Return what a one-off container of the app may use: what a process type of that name would. Pure."""
    return limits_of(properties, process, settings)
