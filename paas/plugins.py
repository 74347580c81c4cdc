"""Find implementations of a contract by kind and name, through entry points `paas.<kind>`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from paas.errors import NotFound


@cache
def _points(kind: str) -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=f"paas.{kind}"), key=lambda point: point.name))


def load(kind: str, name: str) -> Callable[..., Any]:
    """Return the implementation called `name`. Raises NotFound naming those there are."""
    for point in _points(kind):
        if point.name == name:
            return point.load()  # type: ignore[no-any-return]
    names = ", ".join(point.name for point in _points(kind)) or "none"
    raise NotFound(f"There is no {kind.rstrip('s')} called '{name}'", remedy=f"installed: {names}")


def load_all(kind: str) -> tuple[Callable[..., Any], ...]:
    """Return all implementations of a kind, by name."""
    return tuple(point.load() for point in _points(kind))
