"""A tree of layers, seen without mounting it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paas.builders.dockerfile.ignore import parse_ignore
from paas.builders.dockerfile.tree import LayeredTree


def make(root: Path, *paths: str, **links: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).write_text(f"{root.name}:{path}")
    for name, target in links.items():
        (root / name).symlink_to(target)
    return root


def listing(tree: LayeredTree, path: str = "") -> list[str]:
    return [entry.path for entry in tree.walk(path)]


def test_upper_layers_win_and_directories_merge(tmp_path: Path) -> None:
    tree = LayeredTree([make(tmp_path / "up", "d/b", "d/c"), make(tmp_path / "low", "d/a", "d/b")])
    assert listing(tree) == ["d", "d/a", "d/b", "d/c"]
    assert tree.read_text("d/b") == "up:d/b"


def test_a_file_hides_a_directory_below_it(tmp_path: Path) -> None:
    tree = LayeredTree([make(tmp_path / "up", "d"), make(tmp_path / "low", "d/a")])
    assert listing(tree) == ["d"]
    assert tree.find("d/a") is None


def test_links_are_resolved_inside_the_tree(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "etc/passwd", abs="/etc/passwd", up="../../../../etc/passwd", dir="etc")
    tree = LayeredTree([root])
    assert [tree.read_text(name) for name in ("abs", "up", "dir/passwd")] == ["root:etc/passwd"] * 3
    assert tree.resolve("../../dir/./passwd") == "etc/passwd"


def test_a_link_of_an_upper_layer_may_lead_into_a_lower_one(tmp_path: Path) -> None:
    tree = LayeredTree([make(tmp_path / "up", lib="usr/lib"), make(tmp_path / "low", "usr/lib/x")])
    assert tree.resolve("lib/x") == "usr/lib/x"


def test_a_circle_of_links_is_an_error(tmp_path: Path) -> None:
    tree = LayeredTree([make(tmp_path / "root", a="b", b="a")])
    with pytest.raises(OSError, match="symbolic links"):
        tree.find("a/x")


def test_the_last_part_is_not_followed_when_asked(tmp_path: Path) -> None:
    tree = LayeredTree([make(tmp_path / "root", "x", link="x")])
    entry = tree.find("link", follows=False)
    assert entry is not None and entry.is_link and entry.link_target == "x"


def test_patterns_match_like_the_shell_s_but_hidden_files_too(tmp_path: Path) -> None:
    tree = LayeredTree([make(tmp_path / "root", "a.py", "b.py", ".c.py", "d/e.py", "d/f")])
    assert tree.match("*.py") == (".c.py", "a.py", "b.py")
    assert tree.match("/*/e.*") == ("d/e.py",)
    assert tree.match("[ab].py") == ("a.py", "b.py")
    assert tree.match("nothing*") == ()


def test_what_is_ignored_is_not_there(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "a", "node_modules/x", "docs/a.md", "docs/keep.md", ".env")
    tree = LayeredTree([root], ignore=parse_ignore(["node_modules", "docs", "!docs/keep.md", ".env"]))
    assert listing(tree) == ["a", "docs", "docs/keep.md"]
    assert tree.find(".env") is None
    assert tree.match("*") == ("a", "docs")


def test_one_directory_on_disk_is_told_from_a_merged_one(tmp_path: Path) -> None:
    tree = LayeredTree([make(tmp_path / "up", "both/a", "one/x"), make(tmp_path / "low", "both/b")])
    assert tree.sole_directory("both") is None
    assert tree.sole_directory("one") == tmp_path / "up/one"
    assert tree.sole_directory("gone") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are device files")
def test_whiteouts_and_opaque_directories_hide_what_is_below(tmp_path: Path) -> None:
    low = make(tmp_path / "low", "gone", "d/a", "o/a")
    up = make(tmp_path / "up", "o/b", "d/")
    os.mknod(up / "gone", 0o20000, os.makedev(0, 0))
    os.mknod(up / "d/a", 0o20000, os.makedev(0, 0))
    os.setxattr(up / "o", "trusted.overlay.opaque", b"y")
    assert listing(LayeredTree([up, low])) == ["d", "o", "o/b"]
