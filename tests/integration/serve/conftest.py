"""An executor of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving import Served, executor, open_directory


@pytest.fixture
def served() -> Iterator[Served]:
    """A running executor with commands of the tests."""
    with open_directory() as base, executor(base) as running:
        yield running
