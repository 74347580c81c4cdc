"""The yard that Dockerfile builds run in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockerfile_yard import Yard, open_yard


@pytest.fixture(scope="session")
def yard() -> Iterator[Yard]:
    with open_yard() as opened:
        yield opened
