"""ADD from URLs: names, kinds, and addresses that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.fetch import check_copy, check_digest, download, is_url, url_name
from paas.builders.dockerfile.gitsource import GitSource, check_commit, parse_git_source
from paas.builders.dockerfile.instructions import Copy


@pytest.mark.parametrize(
    ("source", "url", "git"),
    [
        ("https://example.com/a.tgz", True, False), ("http://example.com/", True, False), ("a/http://b", False, False),
        ("https://example.com/a.git", True, True), ("https://example.com/a.git#main:sub", True, True),
        ("git@example.com:a/b.git", False, True), ("ssh://git@example.com/a", False, True), ("a.git", False, False),
    ],
)  # fmt: skip
def test_sources_are_told_apart(source: str, url: bool, git: bool) -> None:
    assert (is_url(source), parse_git_source(source) is not None) == (url, git)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://e.com/a.git", GitSource(url="https://e.com/a.git")),
        ("https://e.com/a.git#v1:docs/x", GitSource(url="https://e.com/a.git", ref="v1", subdir="docs/x")),
        ("https://e.com/a.git#:docs/", GitSource(url="https://e.com/a.git", subdir="docs")),
        ("git@e.com:o/a.git#main", GitSource(url="git@e.com:o/a.git", ref="main")),
        ("https://e.com/a.git?branch=main&subdir=d&commit=abc&keep-git-dir=true",
         GitSource(url="https://e.com/a.git", ref="main", subdir="d", checksum="abc", keeps_git_dir=True)),
    ],
)  # fmt: skip
def test_a_repository_is_named_with_reference_and_directory(source: str, expected: GitSource) -> None:
    assert parse_git_source(source) == expected


@pytest.mark.parametrize("source", ["https://e.com/a.git#--upload-pack=x", "https://e.com/a.git?x=1", "https://e.com/a.git#a b"])
def test_a_repository_with_a_reference_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(CopyError, match=r"invalid git reference|unexpected query"):
        parse_git_source(source)


@pytest.mark.parametrize(("source", "host"), [("git@e.com:o/a.git", "e.com"), ("ssh://git@e.com:22/a", "e.com")])
def test_the_host_of_a_repository_is_known(source: str, host: str) -> None:
    found = parse_git_source(source)
    assert found is not None and found.host == host


def test_a_commit_must_begin_with_the_checksum() -> None:
    source = GitSource(url="https://e.com/a.git", checksum="0123")
    check_commit(source, "0123" + "a" * 36)
    with pytest.raises(CopyError, match="expected checksum to match 0123, got ffff"):
        check_commit(source, "f" * 40)


@pytest.mark.parametrize(
    ("sources", "problem"),
    [(("a", "b"), "can't be specified for multiple sources"), (("a.tar",), r"requires HTTP\(S\) or Git sources")],
)
def test_a_checksum_is_for_one_source_from_elsewhere(sources: tuple[str, ...], problem: str) -> None:
    with pytest.raises(CopyError, match=problem):
        check_copy(Copy(line=1, text="", sources=sources, destination="/", is_add=True, checksum="sha256:aa"))


@pytest.mark.parametrize(
    ("url", "name"),
    [("https://e.com/a/b%20c.txt?x=1#y", "b c.txt"), ("https://e.com/", ""), ("https://e.com", ""), ("https://e.com/a/", "")],
)
def test_a_download_is_called_by_the_last_part_of_its_path(url: str, name: str) -> None:
    assert url_name(url) == name


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "0.0.0.0"])
def test_addresses_of_this_machine_itself_are_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(CopyError, match="is on this machine itself"):
        download(f"http://{host}:1/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_wrong_digest_is_refused_and_none_is_fine() -> None:
    check_digest("u", "sha256:aa", "")
    check_digest("u", "sha256:aa", "sha256:aa")
    with pytest.raises(CopyError, match="digest mismatch for u: sha256:aa instead of sha256:bb"):
        check_digest("u", "sha256:aa", "sha256:bb")
