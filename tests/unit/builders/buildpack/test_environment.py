"""Files of env directories -> changes -> environments, in Python and as shell text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from paas.builders.buildpack.inside.environment import (
    BUILD_DIRECTORIES,
    LAUNCH_DIRECTORIES,
    Change,
    apply_changes,
    directory_changes,
    layer_changes,
    parse_changes,
)  # fmt: skip
from paas.builders.buildpack.launch import render_env
from paas.errors import BuildFailed

CASES: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("no suffix overrides", {"A": "new"}, {"A": "old"}, "new"),
    ("override", {"A.override": "new"}, {"A": "old"}, "new"),
    ("default of an unset variable", {"A.default": "new"}, {}, "new"),
    ("default of a set variable", {"A.default": "new"}, {"A": "old"}, "old"),
    ("append", {"A.append": "new", "A.delim": ":"}, {"A": "old"}, "old:new"),
    ("append to nothing", {"A.append": "new", "A.delim": ":"}, {}, "new"),
    ("append without delimiter", {"A.append": "new"}, {"A": "old"}, "oldnew"),
    ("prepend", {"A.prepend": "new", "A.delim": ", "}, {"A": "old"}, "new, old"),
    ("prepend to nothing", {"A.prepend": "new", "A.delim": ":"}, {}, "new"),
    ("quotes, dollars and newlines", {"A": "it's \"$HOME\" `x` \\\n"}, {}, "it's \"$HOME\" `x` \\\n"),
    ("appended quotes", {"A.append": "$(b)'", "A.delim": "'\"$"}, {"A": "$a"}, "$a'\"$$(b)'"),
]


@pytest.mark.parametrize(("files", "env", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_files_change_the_environment(files: dict[str, str], env: dict[str, str], wanted: str) -> None:
    assert apply_changes(env, parse_changes(files))["A"] == wanted


@pytest.mark.parametrize(("files", "env", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_shell_text_means_the_same(files: dict[str, str], env: dict[str, str], wanted: str) -> None:
    assert run_shell(render_env(parse_changes(files)), env)["A"] == wanted


def test_order_of_changes_is_kept() -> None:
    changes = [Change("A", "override", "1"), Change("A", "append", "2", "-"), Change("A", "prepend", "0", "-")]
    assert apply_changes({}, changes) == {"A": "0-1-2"}
    assert run_shell(render_env(changes), {})["A"] == "0-1-2"


def test_unknown_suffix_and_lone_delimiter_change_nothing() -> None:
    assert parse_changes({"A.delim": ":", "A.sometimes": "x"}) == []


def test_directories_of_a_build_layer_go_to_the_front() -> None:
    found = directory_changes("/layers/jvm/jdk", {"bin": {}, "lib": {}}.get, BUILD_DIRECTORIES)
    assert apply_changes({"PATH": "/bin"}, found) == {
        "PATH": "/layers/jvm/jdk/bin:/bin", "LD_LIBRARY_PATH": "/layers/jvm/jdk/lib", "LIBRARY_PATH": "/layers/jvm/jdk/lib",
    }  # fmt: skip


def test_headers_are_not_for_launch() -> None:
    found = directory_changes("/l", {"include": {}, "bin": {}}.get, LAUNCH_DIRECTORIES)
    assert found == [Change("PATH", "prepend", "/l/bin", ":")]


def test_env_launch_comes_after_env() -> None:
    files = {"env": {"A": "both"}, "env.launch": {"A": "launch"}, "env.build": {"A": "build"}}
    assert apply_changes({}, layer_changes(files.get, "env", "env.launch")) == {"A": "launch"}


def test_name_that_no_shell_can_set_is_refused() -> None:
    with pytest.raises(BuildFailed, match="A-B"):
        render_env([Change("A-B", "override", "x")])


def run_shell(text: str, env: Mapping[str, str]) -> dict[str, str]:
    script = text + f"\nexec {sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'\n"
    done = subprocess.run(["/bin/sh", "-eu", "-c", script], env=dict(env), capture_output=True, check=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
