"""Probes: how we know that a process is ready."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProbeKind(StrEnum):
    LISTENING = "listening"  # a TCP connect to the port succeeds
    HTTP = "http"  # GET path answers 2xx
    COMMAND = "command"  # exec exits 0
    UPTIME = "uptime"  # still running after a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One check of a process. `timeout_s` is the whole time it has for passing; polled every `interval_s`."""

    kind: ProbeKind
    port: int = 0
    path: str = "/"
    command: tuple[str, ...] = ()
    timeout_s: float = 60.0
    interval_s: float = 0.005
    uptime_s: float = 1.0
