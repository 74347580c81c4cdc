"""Formatters and type checkers as tests: what they say is an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ("vagrant/provision.sh", "tests/run.sh", ".ci/run")


def run(*argv: str) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_has_nothing_to_say() -> None:
    assert run(sys.executable, "-m", "ruff", "check", "--no-cache", "paas", "tests") == ""


def test_types_are_strict(tmp_path: Path) -> None:
    assert run(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)) == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_shell_scripts_pass_shellcheck(script: str) -> None:
    assert shutil.which("shellcheck"), "install it: apt-get install shellcheck"
    assert run("shellcheck", "--severity=style", "--exclude=SC1091", script) == ""


def test_the_repository_holds_no_leftovers() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    marks = ("TO" + "DO", "FIX" + "ME", "X" * 3, "print" + "(\"debug")
    found = [
        f"{name}: {mark}"
        for name in tracked
        if name.endswith((".py", ".sh")) and (ROOT / name).is_file()
        for mark in marks
        if mark in (ROOT / name).read_text()
    ]
    assert found == []
