"""ADD from URLs: names, kinds, and addresses that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.fetch import check_digest, download, is_git, is_url, url_name


@pytest.mark.parametrize(
    ("source", "url", "git"),
    [
        ("https://example.com/a.tgz", True, False), ("http://example.com/", True, False), ("a/http://b", False, False),
        ("https://example.com/a.git", True, True), ("https://example.com/a.git#main:sub", True, True),
        ("git@example.com:a/b.git", False, True), ("ssh://git@example.com/a", False, True), ("a.git", False, False),
    ],
)  # fmt: skip
def test_sources_are_told_apart(source: str, url: bool, git: bool) -> None:
    assert (is_url(source), is_git(source)) == (url, git)


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
