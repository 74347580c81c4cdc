"""In-tree buildpacks keep the Buildpack API: detect only looks, says 0 or 100; build explains what is wrong with the app."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

BUILDPACKS = Path(__file__).parents[2] / "buildpacks"
NAMES = ("nodejs", "python", "static", "procfile")
TREES: list[tuple[str, set[str]]] = [
    ("requirements.txt", {"python"}),
    ("uv.lock pyproject.toml", {"python"}),
    ("pyproject.toml", {"python"}),
    ("Pipfile", {"python"}),
    ("Pipfile.lock", {"python"}),
    ("package.json", {"nodejs"}),
    ("package.json requirements.txt", {"nodejs", "python"}),
    ("index.html", {"static"}),
    ("public/index.html", {"static"}),
    ("static.json dist/index.html", {"static"}),
    ("Procfile run.sh", {"procfile"}),
    ("Procfile requirements.txt", {"python", "procfile"}),
    ("README.md", set()),
    ("requirements.txt/file", set()),
    ("src/package.json", set()),
]


def make_tree(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


def run(buildpack: str, phase: str, tree: Path, layers: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run bin/detect or bin/build as the lifecycle does."""
    directory = BUILDPACKS / buildpack
    plan, platform = layers / "plan.toml", layers / "platform"
    layers.mkdir(exist_ok=True)
    own = {"CNB_BUILDPACK_DIR": str(directory), "CNB_STACK_ID": "debian-12", "PATH": os.environ["PATH"], **env}
    paths = [platform, plan] if phase == "detect" else [layers, platform, plan]
    return subprocess.run([directory / "bin" / phase, *paths], cwd=tree, env=own, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("files", "wanted"), TREES, ids=[tree[0] for tree in TREES])
def test_detect_recognises_its_own_files(tmp_path: Path, files: str, wanted: set[str]) -> None:
    tree = make_tree(tmp_path / "app", dict.fromkeys(files.split(), ""))
    before = sorted(tree.rglob("*"))
    done = {name: run(name, "detect", tree, tmp_path / "layers") for name in NAMES}
    assert {name: result.returncode for name, result in done.items()} == {n: 0 if n in wanted else 100 for n in NAMES}
    assert sorted(tree.rglob("*")) == before


@pytest.mark.parametrize(
    ("buildpack", "files", "said"),
    [
        ("python", {"requirements.txt": "", ".python-version": "2.7\n"}, ".python-version asks for Python 2.7, but the stack"),
        ("python", {"requirements.txt": "", "runtime.txt": "python-2.7.18"}, "runtime.txt asks for Python 2.7.18, but the stack"),
        ("python", {"requirements.txt": "", "runtime.txt": "pypy"}, "runtime.txt is not understood: 'pypy'"),
        ("python", {"requirements.txt": "", ".python-version": ""}, ".python-version is not understood"),
        ("nodejs", {"package.json": "{"}, "package.json is not valid JSON"),
        ("nodejs", {"package.json": "[]"}, "package.json must hold an object"),
        ("nodejs", {"package.json": '{"packageManager": "bun@1"}'}, "package manager 'bun' is not known"),
        ("static", {"static.json": "{"}, "static.json is not valid JSON"),
        ("static", {"static.json": '{"root": "../.."}'}, "the root '../..' is no directory of the app"),
        ("static", {"static.json": '{"root": "dist"}'}, "the root 'dist' is no directory of the app"),
        ("static", {"static.json": '{"routes": {"/**": "a;b"}}'}, "characters that cannot stand in a path"),
    ],
)
def test_build_says_what_is_wrong_and_what_to_do(tmp_path: Path, buildpack: str, files: dict[str, str], said: str) -> None:
    done = run(buildpack, "build", make_tree(tmp_path / "app", files), tmp_path / "layers")
    assert done.returncode == 1
    problem, remedy = done.stdout.splitlines()[-2:]
    assert problem.startswith(" !     ") and said in problem
    assert remedy.startswith(" !     ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"index.html": ""}, ['root "{app}"', "try_files $uri $uri/ =404;"]),
        ({"public/index.html": "", "index.html": ""}, ['root "{app}/public"']),
        ({"static.json": '{"root": "dist", "clean_urls": true}', "dist/x": ""}, ['root "{app}/dist"', "$uri.html $uri/ =404"]),
        ({"static.json": '{"routes": {"/**": "index.html"}}'}, ['try_files $uri $uri/ "/index.html";']),
        ({"index.html": "", "404.html": ""}, ["error_page 404 /404.html;"]),
        ({"static.json": '{"headers": {"/**": {"X-Frame-Options": "DENY"}}}'}, ['add_header X-Frame-Options "DENY" always;']),
    ],
)
def test_static_site_becomes_an_nginx_configuration(tmp_path: Path, files: dict[str, str], wanted: list[str]) -> None:
    app, layers = make_tree(tmp_path / "app", files), tmp_path / "layers"
    assert run("static", "build", app, layers).returncode == 0
    text = (layers / "nginx" / "nginx.conf").read_text()
    for line in wanted:
        assert line.format(app=app) in text


def test_static_layer_is_not_touched_when_nothing_changed(tmp_path: Path) -> None:
    app, layers = make_tree(tmp_path / "app", {"index.html": ""}), tmp_path / "layers"
    run("static", "build", app, layers)
    before = {file: file.stat().st_ctime_ns for file in (layers / "nginx").rglob("*")}
    run("static", "build", app, layers)
    assert {file: file.stat().st_ctime_ns for file in (layers / "nginx").rglob("*")} == before
