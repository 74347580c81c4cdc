"""How a build's lines and its failure reach the user."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from paas.builders.buildpack.container import Transcript, build_env
from paas.builders.buildpack.untrusted import list_directory, read_directory, read_text, read_toml
from paas.errors import BuildFailed
from paas.output import Output


def test_lines_of_buildpacks_keep_their_rank() -> None:
    out = io.StringIO()
    transcript = Transcript(Output(out, out))
    for line in ("-----> Python app detected", " !     careful", "       detail", "plain", " !     what is wrong"):
        transcript.add(line)
    transcript.add(" !     what to do")
    assert out.getvalue() == "-----> Python app detected\n !     careful\n       detail\n       plain\n"
    assert transcript.warnings == ["what is wrong", "what to do"]
    assert transcript.lines[-1] == "plain"
    transcript.close()
    assert out.getvalue().endswith(" !     what is wrong\n !     what to do\n")


def test_host_settings_never_win_over_the_lifecycles_own() -> None:
    env = build_env({"PATH": "/bin"}, {"HOME": "/root", "PIP_INDEX_URL": "https://mirror"}, stack="debian-12")
    assert env["HOME"] == "/home/cnb"
    assert env["PIP_INDEX_URL"] == "https://mirror"
    assert (env["CNB_TARGET_DISTRO_NAME"], env["CNB_TARGET_DISTRO_VERSION"]) == ("debian", "12")


def test_links_and_special_files_of_a_build_are_not_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "secret"
    (root / "env").mkdir(parents=True)
    outside.write_text("secret")
    (root / "env" / "LINK").symlink_to(outside)
    (root / "env" / "UP").symlink_to("../../secret")
    (root / "env" / "PLAIN").write_text("x")
    (root / "env" / "DIRECTORY").mkdir()
    os.mkfifo(root / "env" / "PIPE")
    (root / "dir").symlink_to(tmp_path)
    assert read_directory(root, "env") == {"PLAIN": "x"}
    assert read_text(root, "dir/secret") is None
    assert list_directory(root, "dir") is None
    assert read_directory(root, "nowhere") is None


def test_endless_file_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "launch.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(BuildFailed, match="larger than 1 MiB"):
        read_toml(tmp_path, "launch.toml")


def test_broken_toml_fails_the_build_and_says_which(tmp_path: Path) -> None:
    (tmp_path / "launch.toml").write_text("= broken")
    with pytest.raises(BuildFailed, match="/launch.toml"):
        read_toml(tmp_path, "launch.toml")
