"""Probes: how we know that a process is ready."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProbeKind(StrEnum):
    LISTENING = "listening"  # a TCP connect to the port succeeds, and a GET of `path` gets some answer
    UPTIME = "uptime"  # still running after a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One check of a process. `timeout_s` is the whole time it has for passing; polled every `interval_s`."""

    kind: ProbeKind
    port: int = 0
    path: str = "/"
    timeout_s: float = 60.0
    interval_s: float = 0.005
    uptime_s: float = 1.0
