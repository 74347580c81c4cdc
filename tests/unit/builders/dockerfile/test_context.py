"""Digests of what COPY takes, and the memory of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paas.builders.dockerfile.context import FileDigests, digest_entries, open_context, read_ignore
from paas.builders.dockerfile.ignore import IgnoreRules, parse_ignore
from paas.builders.dockerfile.tree import Entry
from paas.errors import InvalidFile

LONG_AGO = 1_000_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/a").write_text("a")
    (tmp_path / "tree/d/b").write_text("b")
    (tmp_path / "tree/d/l").symlink_to("b")
    return tmp_path / "tree"


def digest(tree: Path, *paths: str, excludes: IgnoreRules = IgnoreRules()) -> str:  # noqa: B008 - it is immutable
    digests = FileDigests(tree.parent / "digests.json")
    context = open_context(tree)
    tops = [entry for entry in map(context.find, paths or ("",)) if entry is not None]
    return digest_entries(context, tops, digests, excludes=excludes)


def test_times_and_owners_do_not_matter(tree: Path) -> None:
    before = digest(tree)
    os.utime(tree / "a", (LONG_AGO, LONG_AGO))
    assert digest(tree) == before


@pytest.mark.parametrize("change", ["content", "mode", "link", "name", "new", "gone", "kind"])
def test_every_change_that_copy_would_show_changes_the_digest(tree: Path, change: str) -> None:
    before = digest(tree)
    if change == "content":
        (tree / "d/b").write_text("c")
    elif change == "mode":
        (tree / "a").chmod(0o755)
    elif change == "link":
        (tree / "d/l").unlink()
        (tree / "d/l").symlink_to("c")
    elif change == "name":
        (tree / "a").rename(tree / "z")
    elif change == "new":
        (tree / "d/new").touch()
    elif change == "gone":
        (tree / "d/b").unlink()
    else:
        (tree / "a").unlink()
        (tree / "a").mkdir()
    assert digest(tree) != before


def test_what_is_not_copied_does_not_count(tree: Path) -> None:
    only_a = digest(tree, "a")
    without = digest(tree, excludes=parse_ignore(["d"]))
    (tree / "d/b").write_text("changed")
    assert digest(tree, "a") == only_a
    assert digest(tree, excludes=parse_ignore(["d"])) == without


def test_a_link_that_is_copied_as_a_file_counts_with_the_file_s_content(tree: Path) -> None:
    before = digest(tree, "d/l")
    (tree / "d/b").write_text("changed")
    assert digest(tree, "d/l") != before


def test_contents_are_read_once_while_a_file_stays_as_it_is(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paas.builders.dockerfile.context._WORTH_KEEPING", 1)
    monkeypatch.setattr("paas.builders.dockerfile.context._SETTLED_NS", 0)
    memory = tree.parent / "digests.json"
    entry = Entry("a", str(tree / "a"), (tree / "a").lstat())
    first = FileDigests(memory)
    digest = first.of(entry)
    first.save()
    (tree / "a").unlink()  # with the same status as before, nobody opens it
    assert FileDigests(memory).of(entry) == digest


def test_a_file_that_has_just_changed_is_not_remembered(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paas.builders.dockerfile.context._WORTH_KEEPING", 0)
    memory = tree.parent / "digests.json"
    digests = FileDigests(memory)
    digests.of(Entry("a", str(tree / "a"), (tree / "a").lstat()))
    digests.save()
    assert memory.read_text() == "{}"


def test_a_broken_memory_is_no_memory(tree: Path) -> None:
    before = digest(tree)
    (tree.parent / "digests.json").write_text("[1")
    assert digest(tree) == before


def test_a_dockerfile_s_own_ignore_file_wins(tree: Path) -> None:
    (tree / ".dockerignore").write_text("a\n")
    (tree / "x.Dockerfile.dockerignore").write_text("d\n")
    assert read_ignore(tree).ignores("a")
    assert not read_ignore(tree, dockerfile="x.Dockerfile").ignores("a")


def test_a_bad_pattern_is_shown_with_its_line(tree: Path) -> None:
    (tree / ".dockerignore").write_text("a\n[b\n")
    with pytest.raises(InvalidFile, match=r"\.dockerignore:2: syntax error in pattern: \[b\n    2 \| \[b"):
        read_ignore(tree)


def test_an_ignore_file_that_is_a_link_out_of_the_tree_is_not_read(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("a\n")
    (tree / ".dockerignore").symlink_to(tmp_path / "outside")
    assert not read_ignore(tree)
