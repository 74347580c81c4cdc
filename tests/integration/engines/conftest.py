"""One engine for all tests of this directory; each test takes tenants and names of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine_ground import EngineGround, engine_ground


@pytest.fixture(scope="module")
def ground() -> Iterator[EngineGround]:
    with engine_ground() as made:
        yield made


@pytest.fixture(autouse=True)
def _no_container_is_left(ground: EngineGround) -> Iterator[None]:
    yield
    for container in ground.engine.list():
        ground.engine.remove(container.id, is_forced=True)
