"""Repositories on a real git, owned by another user than the one who asks."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.errors import CommandFailed, HostProblem, InvalidFile
from paas.host import git

pytestmark = pytest.mark.integration

OWNER = pwd.getpwnam("paas")
AUTHOR = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """A directory that other users may reach: pytest's own are private."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    tmp_path.chmod(0o755)
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def repo(open_path: Path) -> Path:
    made = open_path / "repos" / "shop.git"
    git.ensure_repo(made, app="shop", owner="paas")
    return made


class Work:
    """Somebody's clone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.git("init", "-q", "-b", "master")

    def git(self, *argv: str) -> str:
        done = subprocess.run(["git", *AUTHOR, *argv], cwd=self.directory, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, subject: str = "Change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def push(self, repo: Path, refspec: str = "master") -> None:
        subprocess.run(
            ["git", "-c", "safe.directory=*", "push", "-q", "--force", "--receive-pack=git -c safe.directory=* receive-pack",
             str(repo), refspec],
            cwd=self.directory, check=True,
        )  # fmt: skip
        subprocess.run(["chown", "-R", "paas:paas", str(repo)], check=True)


@pytest.fixture
def work(open_path: Path) -> Work:
    return Work(open_path / "work")


def test_repository_belongs_to_its_user(repo: Path) -> None:
    owners = {path.lstat().st_uid for path in (repo.parent, repo, *repo.rglob("*"))}
    assert owners == {OWNER.pw_uid}
    assert repo.stat().st_mode & 0o7777 == 0o750


def test_ensuring_twice_changes_nothing(repo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in repo.rglob("*")}
    git.ensure_repo(repo, app="shop", owner="paas")
    assert {path: path.stat().st_mtime_ns for path in repo.rglob("*")} == before


def test_ensuring_finishes_a_repository_that_was_cut_off(repo: Path) -> None:
    (repo / "info" / "attributes").unlink()
    (repo / "HEAD").unlink()
    git.ensure_repo(repo, app="shop", owner="paas")
    assert git.head_branch(repo) == "master"


def test_unknown_owner_is_a_problem_of_the_host(open_path: Path) -> None:
    with pytest.raises(HostProblem, match="no user 'nobody-we-know'"):
        git.ensure_repo(open_path / "x.git", app="x", owner="nobody-we-know")


def test_export_keeps_modes_links_and_odd_names(repo: Path, work: Work, open_path: Path) -> None:
    (work.directory / "bin").mkdir()
    (work.directory / "bin" / "run").write_text("#!/bin/sh\n")
    (work.directory / "bin" / "run").chmod(0o755)
    (work.directory / "plain ü\n.txt").write_bytes(b"a\r\nb\0")
    (work.directory / "link").symlink_to("bin/run")
    (work.directory / "outside").symlink_to("/etc/passwd")
    revision = work.commit()
    work.push(repo)
    tree = open_path / "tree"

    git.export_tree(repo, revision, tree)

    assert (tree / "bin" / "run").stat().st_mode & 0o7777 == 0o755
    assert (tree / "plain ü\n.txt").read_bytes() == b"a\r\nb\0"
    assert (tree / "plain ü\n.txt").stat().st_mode & 0o7777 == 0o644
    assert (tree / "link").readlink() == Path("bin/run")
    assert (tree / "outside").readlink() == Path("/etc/passwd")
    assert {path.lstat().st_uid for path in tree.rglob("*")} == {os.getuid()}
    assert sorted(path.name for path in tree.iterdir()) == ["bin", "link", "outside", "plain ü\n.txt"]


def test_export_holds_also_what_release_tarballs_leave_out(repo: Path, work: Work, open_path: Path) -> None:
    (work.directory / ".gitattributes").write_text("tests export-ignore\nversion.txt export-subst\n")
    (work.directory / "tests").write_text("t")
    (work.directory / "version.txt").write_text("$Format:%H$")
    revision = work.commit()
    work.push(repo)
    git.export_tree(repo, revision, open_path / "tree")
    assert (open_path / "tree" / "tests").read_text() == "t"
    assert (open_path / "tree" / "version.txt").read_text() == "$Format:%H$"


def test_a_branch_moves_only_from_where_it_is_expected(repo: Path, work: Work) -> None:
    first = work.commit("One")
    work.push(repo)
    second = work.commit("Two")
    work.push(repo, "HEAD:refs/heads/other")
    assert git.contains(repo, second, first)
    assert not git.contains(repo, first, second)
    assert git.contains(repo, first, "")
    with pytest.raises(CommandFailed):
        git.move_branch(repo, "refs/heads/master", second, expected="")
    git.move_branch(repo, "refs/heads/master", second, expected=first)
    git.move_branch(repo, "refs/heads/new", first, expected="")
    assert (git.resolve(repo, "master"), git.resolve(repo, "new")) == (second, first)


def test_export_of_an_unknown_revision_leaves_nothing(repo: Path, open_path: Path) -> None:
    with pytest.raises(CommandFailed, match="archive") as caught:
        git.export_tree(repo, "0" * 39 + "1", open_path / "tree")
    assert "not a valid object name" in " ".join(caught.value.output) or "not a tree" in " ".join(caught.value.output)
    assert not (open_path / "tree").exists()


def test_export_refuses_submodules_by_name(repo: Path, work: Work, open_path: Path) -> None:
    (work.directory / ".gitmodules").write_text('[submodule "lib"]\n\tpath = lib\n\turl = https://example.com/lib.git\n')
    work.git("update-index", "--add", "--cacheinfo", "160000," + "1" * 40 + ",lib")
    work.git("add", ".gitmodules")
    work.git("commit", "-q", "-m", "Link lib")
    revision = work.git("rev-parse", "HEAD")
    work.push(repo)
    with pytest.raises(InvalidFile, match="submodules are not supported: lib"):
        git.export_tree(repo, revision, open_path / "tree")
    assert not (open_path / "tree").exists()


def test_export_accepts_a_leftover_gitmodules_file(repo: Path, work: Work, open_path: Path) -> None:
    (work.directory / ".gitmodules").write_text("# none any more\n")
    revision = work.commit()
    work.push(repo)
    git.export_tree(repo, revision, open_path / "tree")
    assert (open_path / "tree" / ".gitmodules").exists()


def test_names_resolve_to_commits(repo: Path, work: Work) -> None:
    revision = work.commit("First")
    work.git("tag", "v1")
    work.push(repo)
    work.push(repo, "v1")
    assert [git.resolve(repo, name) for name in ("master", "v1", "HEAD", revision[:8])] == [revision] * 4
    assert [git.resolve(repo, name) for name in ("other", "", "--all", "0" * 40)] == [""] * 4
    assert git.refs(repo) == {"refs/heads/master": revision, "refs/tags/v1": revision}
    assert git.subject(repo, "master") == "First"


def test_head_follows_the_branch_that_was_set(repo: Path) -> None:
    git.set_head(repo, "main")
    assert git.head_branch(repo) == "main"


def test_missing_repository_has_no_refs(open_path: Path) -> None:
    assert git.resolve(open_path / "none.git", "HEAD") == ""
    assert git.refs(open_path / "none.git") == {}
    assert git.head_branch(open_path / "none.git") == ""


def test_root_never_follows_what_the_owner_put_there(repo: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("keep me")
    evil = repo.parent / "evil.git"
    evil.mkdir()
    (evil / "description").symlink_to(secret)
    subprocess.run(["chown", "-hR", "paas:paas", str(evil)], check=True)
    with pytest.raises(CommandFailed):
        git.ensure_repo(evil, app="evil", owner="paas")
    assert secret.read_text() == "keep me"
    link = repo.parent / "link.git"
    link.symlink_to("/etc")
    with pytest.raises(HostProblem, match="no repository"):
        git.ensure_repo(link, app="link", owner="paas")
    assert not Path("/etc/HEAD").exists()
