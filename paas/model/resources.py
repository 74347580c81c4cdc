"""Resource limits and reservations of a process type, as `resource:limit` and `resource:reserve` keep them. Pure.

Properties are `resource.<kind>.<type>.<name>`, without a type for all types that say nothing of their own; the type `build`
is for builds. Memory is in MiB, cpu in cores. Source: Dokku, docs/advanced-usage/resource-management.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from paas.errors import InvalidInput
from paas.model.container import Limits
from paas.settings import Settings

MIB = 1024 * 1024
LIMIT, RESERVE = "limit", "reserve"
#: Names of a resource by kind.
NAMES: Mapping[str, tuple[str, ...]] = {LIMIT: ("cpu", "memory", "memory-swap", "pids"), RESERVE: ("cpu", "memory")}
#: The type whose limits are those of builds.
BUILD = "build"
#: Less than this no process of any kind starts with.
SMALLEST_MB = 4

_MEMORY = re.compile(r"(\d{1,9})([bkmg]?)b?\Z", re.ASCII)
_BYTES = {"b": 1, "k": 1024, "": MIB, "m": MIB, "g": 1024 * MIB}
_CPU = re.compile(r"\d{1,4}(\.\d{1,3})?\Z", re.ASCII)


def parse_resource(name: str, text: str) -> str:
    """Return the value as it is kept: memory in whole MiB, cpu in cores, '' for none. Raises InvalidInput."""
    if text in ("", "0", "-1") and not (name == "memory-swap" and text == "-1"):
        return ""  # no limit, as Docker writes it
    match name:
        case "cpu":
            if not _CPU.match(text) or float(text) < 0.01:
                raise InvalidInput(f"'{text}' is not a number of cpus", remedy="e.g. 0.5 or 2")
            return f"{float(text):g}"
        case "pids":
            if not re.fullmatch(r"[0-9]{1,7}", text):
                raise InvalidInput(f"'{text}' is not a number of processes", remedy="e.g. 512")
            return str(int(text))
        case "memory-swap" if text == "-1":
            return text
        case _:
            return str(_memory_mb(text))


def _memory_mb(text: str) -> int:
    match = _MEMORY.match(text.lower())
    if match is None:
        raise InvalidInput(f"'{text}' is not an amount of memory", remedy="e.g. 512 or 512m for MiB, or 2g")
    amount = -(-int(match[1]) * _BYTES[match[2]] // MIB)
    if amount < SMALLEST_MB:
        raise InvalidInput(f"{text} is too little memory for any process", remedy=f"use {SMALLEST_MB}m or more")
    return amount


def chosen(properties: Mapping[str, str], kind: str, process: str, name: str) -> str:
    """Return what holds for a process type: its own value, else that for all types; builds have only their own."""
    own = properties.get(f"resource.{kind}.{process}.{name}", "")
    return own if own or process == BUILD else properties.get(f"resource.{kind}.{name}", "")


def limits_of(properties: Mapping[str, str], process: str, settings: Settings) -> Limits:
    """Return the limits of a process type, the machine's defaults where nothing is said."""

    def limit(name: str) -> str:
        return chosen(properties, LIMIT, process, name)

    memory = int(limit("memory") or settings.memory_mb) * MIB
    return Limits(
        memory_bytes=memory,
        swap_bytes=_swap_bytes(limit("memory-swap"), memory),
        cpu_millis=round(float(limit("cpu") or 0) * 1000),
        pids=int(limit("pids") or settings.pids),
        reserved_memory_bytes=int(chosen(properties, RESERVE, process, "memory") or 0) * MIB,
        reserved_cpu_millis=round(float(chosen(properties, RESERVE, process, "cpu") or 0) * 1000),
    )


def _swap_bytes(total: str, memory: int) -> int:
    """Return how much may be swapped out: Docker's memory-swap is memory and swap together, -1 no limit."""
    if total == "-1":
        return -1
    return max(0, int(total or 0) * MIB - memory) if memory else 0


def refuse_contradictions(properties: Mapping[str, str], process: str) -> None:
    """Raise InvalidInput when what would hold for the type then contradicts itself."""
    limit, swap = chosen(properties, LIMIT, process, "memory"), chosen(properties, LIMIT, process, "memory-swap")
    reserved = chosen(properties, RESERVE, process, "memory")
    if limit and reserved and int(reserved) > int(limit):
        raise InvalidInput(f"{reserved} MiB cannot be reserved within a limit of {limit}", remedy="raise the limit first")
    if swap and not limit:
        raise InvalidInput("memory-swap says how much a memory limit leaves to swap", remedy="give --memory, too")
    if swap not in ("", "-1") and int(swap) < int(limit):
        raise InvalidInput(
            f"memory-swap ({swap} MiB) is memory and swap together: it cannot be less than the memory limit ({limit} MiB)",
            remedy=f"use --memory-swap {limit} for no swap at all",
        )
