"""An executor of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Served, executor, open_to_all


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A running executor with commands of the tests."""
    with executor(open_to_all(tmp_path)) as running:
        yield running
