"""Real pushes, clones and fetches over the gateway."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path

import pytest

from serving import Sshd, eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def work(sshd: Sshd, tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    sshd.git(directory, "init", "-q", "-b", "master")
    (directory / "app.py").write_text("print('hello')\n")
    commit(sshd, directory)
    return directory


def commit(sshd: Sshd, directory: Path) -> str:
    sshd.git(directory, "add", "-A")
    sshd.git(directory, "commit", "-q", "--allow-empty", "-m", "Change")
    return sshd.git(directory, "rev-parse", "HEAD").stdout.strip()


def ref(sshd: Sshd, name: str, app: str = "shop") -> str:
    path = sshd.run_dir / "repos" / f"{app}.git" / "refs" / "heads" / name
    return path.read_text().strip() if path.exists() else ""


def test_a_push_runs_the_hook_and_moves_the_ref(sshd: Sshd, work: Path) -> None:
    pushed = sshd.git(work, "push", sshd.url("shop"), "master")
    assert pushed.returncode == 0, pushed.stderr
    assert "remote: -----> alice pushes refs/heads/master" in pushed.stderr
    assert ref(sshd, "master") == sshd.git(work, "rev-parse", "HEAD").stdout.strip()


def test_a_refused_push_leaves_the_ref(sshd: Sshd, work: Path) -> None:
    refused = sshd.git(work, "push", sshd.url("shop"), "master:refuse")
    assert refused.returncode == 1
    assert "pre-receive hook declined" in refused.stderr
    assert ref(sshd, "refuse") == ""


def test_a_forced_push_replaces_history(sshd: Sshd, work: Path) -> None:
    sshd.git(work, "push", sshd.url("shop"), "master")
    sshd.git(work, "commit", "-q", "--amend", "-m", "Other")
    assert sshd.git(work, "push", sshd.url("shop"), "master").returncode == 1
    assert sshd.git(work, "push", "--force", sshd.url("shop"), "master").returncode == 0


def test_clone_and_fetch(sshd: Sshd, work: Path, tmp_path: Path) -> None:
    sshd.git(work, "push", sshd.url("shop"), "master")
    cloned = sshd.git(tmp_path, "clone", "-q", sshd.url("shop"), "clone")
    assert cloned.returncode == 0, cloned.stderr
    assert (tmp_path / "clone" / "app.py").read_text() == "print('hello')\n"
    new = commit(sshd, work)
    sshd.git(work, "push", sshd.url("shop"), "master")
    sshd.git(tmp_path / "clone", "fetch", "-q")
    assert sshd.git(tmp_path / "clone", "rev-parse", "origin/master").stdout.strip() == new
    listed = sshd.git(tmp_path, "archive", f"--remote={sshd.url('shop')}", "master")
    assert listed.returncode == 0 and "app.py" in listed.stdout


def test_a_push_from_a_shallow_clone_is_refused_until_it_is_whole(sshd: Sshd, work: Path, tmp_path: Path) -> None:
    commit(sshd, work)
    sshd.git(tmp_path, "clone", "-q", "--depth=1", f"file://{work}", "shallow")
    pushed = sshd.git(tmp_path / "shallow", "push", sshd.url("shop"), "master")
    assert pushed.returncode != 0 and "shallow update not allowed" in pushed.stderr
    sshd.git(tmp_path / "shallow", "fetch", "-q", "--unshallow")
    pushed = sshd.git(tmp_path / "shallow", "push", sshd.url("shop"), "master")
    assert pushed.returncode == 0, pushed.stderr


def test_a_large_push_arrives_whole(sshd: Sshd, work: Path) -> None:
    (work / "large.bin").write_bytes(os.urandom(40 << 20))
    revision = commit(sshd, work)
    pushed = sshd.git(work, "push", sshd.url("shop"), "master")
    assert pushed.returncode == 0, pushed.stderr
    assert ref(sshd, "master") == revision


def test_a_push_whose_client_goes_away_is_finished(sshd: Sshd, work: Path) -> None:
    sshd.git(work, "push", sshd.url("shop"), "master")
    revision = commit(sshd, work)
    pid_file = sshd.run_dir / "ssh.pid"
    client = sshd.run_dir / "client"
    client.write_text(f'#!/bin/sh\necho $$ > {pid_file}\nexec {" ".join(sshd.argv()[:-1])} "$@"\n')
    client.chmod(0o755)
    env = {**os.environ, "GIT_SSH_COMMAND": str(client)}
    push = subprocess.Popen(["git", "push", sshd.url("shop"), "master:slow"], cwd=work, env=env, stderr=subprocess.PIPE)
    assert push.stderr is not None
    while b"alice pushes refs/heads/slow" not in (line := push.stderr.readline()):
        assert line, "the push ended early"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert push.wait(30) != 0
    eventually((sshd.run_dir / "done" / "slow").exists)
    eventually(lambda: ref(sshd, "slow") == revision)


def test_pushed_files_belong_to_the_repositories_user(sshd: Sshd, work: Path) -> None:
    sshd.git(work, "push", sshd.url("shop"), "master")
    owners = {path.lstat().st_uid for path in (sshd.run_dir / "repos").rglob("*")}
    assert owners == {pwd.getpwnam("paas").pw_uid}
