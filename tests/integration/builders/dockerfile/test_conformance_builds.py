"""Every case in tests/data/builds, built for real: files, owners, permissions, configuration, errors (see conformance.py)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import BASE, Case, build_ours, load_cases, make_base
from dockerfile_yard import Yard

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def grounds(yard: Yard) -> Iterator[Yard]:
    """The yard with the cases' base image."""
    make_base(yard.store)
    yield yard
    yard.store.untag(BASE)


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_a_build_gives_what_its_case_says(case: Case, grounds: Yard, tmp_path: Path) -> None:
    answer = build_ours(case, grounds, tmp_path)
    if os.environ.get("PAAS_WRITE_EXPECTED"):
        case.write(answer)
    assert answer == case.expected
    assert grounds.leftovers() == []
