"""How nouns are written into columns: process types and ports as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable

from paas.model.process import ProcessType


def processes_to_json(processes: Iterable[ProcessType]) -> str:
    """Write process types."""
    return json.dumps([{"name": p.name, "command": p.command, "argv": list(p.argv)} for p in processes])


def processes_from_json(text: str) -> tuple[ProcessType, ...]:
    """Read process types."""
    return tuple(ProcessType(name=p["name"], command=p["command"], argv=tuple(p["argv"])) for p in json.loads(text))


def ports_to_json(ports: Iterable[int]) -> str:
    """Write container ports."""
    return json.dumps(list(ports))


def ports_from_json(text: str) -> tuple[int, ...]:
    """Read container ports."""
    return tuple(json.loads(text))
