"""Renames into a directory are seen, whoever makes them."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.host.renames import Renames


@pytest.fixture
def renames() -> Iterator[Renames]:
    made = Renames()
    yield made
    made.close()


def test_renames_are_told_once_and_nothing_else_is(tmp_path: Path, renames: Renames) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        renames.watch(tmp_path / name)
        renames.watch(tmp_path / name)
    assert renames.take() == []
    (tmp_path / "a" / "x.tmp").write_text("")
    (tmp_path / "a" / "x.tmp").rename(tmp_path / "a" / "x")
    (tmp_path / "b" / ("a long name " * 5)).write_text("")
    (tmp_path / "a" / "x").rename(tmp_path / "b" / "ä")
    assert select.select([renames], [], [], 5)[0]
    assert renames.take() == [tmp_path / "a" / "x", tmp_path / "b" / "ä"]
    assert renames.take() == []


def test_a_directory_keeps_its_watch_under_a_new_name_and_loses_it_when_it_is_removed(tmp_path: Path, renames: Renames) -> None:
    (tmp_path / "old").mkdir()
    renames.watch(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    renames.watch(tmp_path / "new")
    (tmp_path / "x").write_text("")
    (tmp_path / "x").rename(tmp_path / "new" / "y")
    assert renames.take() == [tmp_path / "new" / "y"]
    (tmp_path / "new" / "y").unlink()
    (tmp_path / "new").rmdir()
    assert renames.take() == []
    with pytest.raises(FileNotFoundError):
        renames.watch(tmp_path / "new")
