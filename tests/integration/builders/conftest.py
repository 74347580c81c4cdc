"""The laboratory that builder tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder_lab import Lab
from engine_ground import engine_ground
from harness import STACK_IMAGES


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with engine_ground(images=STACK_IMAGES) as ground:
        yield Lab(paths=ground.paths, settings=ground.settings, engine=ground.engine, store=ground.store)
