"""The in-tree buildpacks build sample apps with the real package managers, and the images serve."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder_lab import Lab
from harness import APPS
from paas.errors import BuildFailed, InvalidFile

pytestmark = pytest.mark.integration


def make_tree(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


def test_flask_app_serves_and_a_changed_line_installs_nothing(lab: Lab, tmp_path: Path) -> None:
    first = lab.build("flask", APPS / "flask")
    assert "Installing packages from requirements.txt" in first.output
    assert "Collecting flask==3.0.3" in first.output
    assert lab.get(first) == (200, "Hello from Flask, release none\n")

    changed = Path(shutil.copytree(APPS / "flask", tmp_path / "app"))
    app = changed / "app.py"
    app.write_text(app.read_text().replace("Hello", "Good morning"))
    second = lab.build("flask", changed)
    assert "Using the packages of the last build" in second.output
    assert "Collecting" not in second.output
    assert second.image.layers[:-1] == first.image.layers[:-1]
    assert lab.get(second) == (200, "Good morning from Flask, release none\n")

    (changed / "requirements.txt").write_text("flask==3.0.3\ngunicorn==22.0.0\nmarkupsafe\n")
    third = lab.build("flask", changed)
    assert "Installing packages from requirements.txt" in third.output
    assert third.image.layers[-2] != first.image.layers[-2]
    assert lab.leftovers() == []


def test_app_json_may_have_several_buildpacks_build_an_app(lab: Lab, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(APPS / "flask", tmp_path / "both"))
    for name in ("package.json", "package-lock.json", "build.js", "server.js"):
        shutil.copy(APPS / "node" / name, tree)
    (tree / "Procfile").unlink(missing_ok=True)
    assert lab.get(lab.build("both", tree))[1].startswith("Hello from Node.js")  # tried in turn, the first that fits
    both = lab.build("both", tree, chosen=("heroku/nodejs", "https://github.com/heroku/heroku-buildpack-python"))
    assert lab.get(both)[1].startswith("Hello from Flask")
    assert lab.run(both, "node -e 'console.log(require(\"ms\")(\"1d\"))'") == "86400000\n"
    assert "Using the packages" in lab.build("both", tree, chosen=("nodejs", "python")).output
    with pytest.raises(BuildFailed) as caught:
        lab.build("both", tree, chosen=("nodejs", "static"))
    assert caught.value.message == "No buildpack recognises this app"
    assert [line.split(" looks for ")[0] for line in caught.value.output] == ["nodejs", "static"]
    with pytest.raises(InvalidFile, match="there is no buildpack 'heroku/ruby' here"):
        lab.build("both", tree, chosen=("heroku/ruby",))
    assert lab.leftovers() == []


def test_app_runs_as_the_unprivileged_user_in_its_directory(lab: Lab) -> None:
    built = lab.build("procfile", APPS / "procfile")
    assert lab.run(built, 'id -un; pwd; echo "$HOME"; stat -c %U server.py') == "cnb\n/workspace\n/home/cnb\ncnb\n"


def test_modules_of_node_app_are_kept_and_its_build_script_runs_each_time(lab: Lab) -> None:
    first = lab.build("node", APPS / "node")
    assert "Installing modules with npm" in first.output
    assert first.result.processes[0].command == "node server.js"
    assert lab.get(first) == (200, "Hello from Node.js, 1d\n")
    second = lab.build("node", APPS / "node")
    assert "Installing modules" not in second.output
    assert "Running the script 'build'" in second.output
    assert lab.get(second) == (200, "Hello from Node.js, 1d\n")


def test_development_modules_build_but_are_not_launched(lab: Lab, tmp_path: Path) -> None:
    package = '{"scripts": {"build": "node -e \\"require(\'ms\')\\""}, "devDependencies": {"ms": "2.1.3"}, "main": "index.js"}'
    tree = make_tree(tmp_path, {"package.json": package, "index.js": "try { require('ms') } catch { console.log('pruned') }"})
    built = lab.build("node-dev", tree)
    assert lab.run_argv(built, built.result.processes[0].argv) == "pruned\n"


@pytest.mark.parametrize(("tool", "lock"), [("yarn", "yarn.lock"), ("pnpm", "pnpm-lock.yaml")])
def test_other_package_managers_install_from_their_lock_file(lab: Lab, tmp_path: Path, tool: str, lock: str) -> None:
    locks = {
        "yarn.lock": '# yarn lockfile v1\n\n\nms@2.1.3:\n  version "2.1.3"\n  resolved "https://registry.yarnpkg.com/ms/-/ms-2.1.3.tgz'
        '#574c8138ce1d2b5861f0b44579dbadd60c6615b2"\n'
        "  integrity sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==\n",
        "pnpm-lock.yaml": "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false\n\n"
        "importers:\n\n  .:\n    dependencies:\n      ms:\n        specifier: 2.1.3\n        version: 2.1.3\n\npackages:\n\n"
        "  ms@2.1.3:\n    resolution: {integrity: sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAO"
        "tHnSO/tXtF3WRTlA==}\n\nsnapshots:\n\n  ms@2.1.3: {}\n",
    }  # fmt: skip
    package = '{"name": "x", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}, "scripts": {"start": "node index.js"}}'
    tree = make_tree(tmp_path, {"package.json": package, lock: locks[lock], "index.js": "console.log(require('ms')('2d'))"})
    first = lab.build(tool, tree)
    assert f"Installing modules with {tool}" in first.output
    assert lab.run_argv(first, first.result.processes[0].argv) == "172800000\n"
    second = lab.build(tool, tree)
    assert "Installing" not in second.output
    assert second.image.layers[:-1] == first.image.layers[:-1]


def test_static_site_is_served_and_its_dot_files_are_not(lab: Lab, tmp_path: Path) -> None:
    tree = make_tree(tmp_path, {"index.html": "<h1>Hi</h1>", ".secret": "x", "about/index.html": "about", "404.html": "lost"})
    built = lab.build("static", tree)
    assert lab.get(built) == (200, "<h1>Hi</h1>")
    assert lab.get(built, "/.secret") == (404, "lost")
    assert lab.get(built, "/about/")[1] == "about"


def test_process_types_are_the_procfiles(lab: Lab) -> None:
    built = lab.build("procfile", APPS / "procfile", env={"GREETING": "build"})
    assert [(process.name, process.command) for process in built.result.processes] == [
        ("web", "python3 -u server.py"),
        ("clock", "while true; do date; sleep 60; done"),
    ]
    assert lab.get(built, env={"GREETING": "it's me"}) == (200, "Hello from a Procfile, GREETING=it's me\n")


PYTHON_FILES = {
    "pyproject.toml": {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = ["blinker==1.9.0"]\n'},
    "Pipfile": {"Pipfile": '[packages]\nblinker = "==1.9.0"\n'},
    "Pipfile.lock": {"Pipfile.lock": '{"default": {"blinker": {"version": "==1.9.0"}}}'},
    "uv.lock": {
        "pyproject.toml": '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["blinker==1.9.0"]\n',
        "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\nname = "blinker"\nversion = "1.9.0"\n'
        'source = { registry = "https://pypi.org/simple" }\nwheels = [\n    { url = "https://files.pythonhosted.org/packages/10/cb/'
        'f2ad4230dc2eb1a74edf38f1a38b9b52277f75bef262d8908e60d957e13c/blinker-1.9.0-py3-none-any.whl", hash = '
        '"sha256:ba0efaa9080b619ff2f3459d1d500c57bddea4a6b424b60a91141db6fd2f08bc" },\n]\n\n[[package]]\nname = "x"\n'
        'version = "1"\nsource = { virtual = "." }\ndependencies = [\n    { name = "blinker" },\n]\n\n[package.metadata]\n'
        'requires-dist = [{ name = "blinker", specifier = "==1.9.0" }]\n',
    },
}


@pytest.mark.parametrize("source", PYTHON_FILES)
def test_python_packages_come_from_every_kind_of_file(lab: Lab, tmp_path: Path, source: str) -> None:
    tree = make_tree(tmp_path, {**PYTHON_FILES[source], "Procfile": "web: python3 main.py\n"})
    app = f"python-{source.lower()}"
    first = lab.build(app, tree)
    assert f"Installing packages from {source}" in first.output
    assert lab.run(first, "python -c 'import importlib.metadata as m; print(m.version(\"blinker\"))'") == "1.9.0\n"
    assert "Installing" not in lab.build(app, tree).output


def test_python_app_without_procfile_starts_when_its_kind_is_known(lab: Lab, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(APPS / "flask", tmp_path / "app"))
    (tree / "Procfile").unlink()
    built = lab.build("flask-bare", tree)
    assert built.result.processes[0].command == "exec gunicorn --bind 0.0.0.0:${PORT:-5000} app:app"
    assert lab.get(built)[0] == 200


def test_app_that_nothing_says_how_to_start_fails_with_a_remedy(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="nothing says how to start it") as caught:
        lab.build("silent", make_tree(tmp_path, {"requirements.txt": "", "main.py": ""}))
    assert "Procfile" in caught.value.remedy
    assert lab.leftovers() == []


def test_package_that_does_not_exist_fails_the_build_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    images = {image.id for image in lab.store.images()}
    with pytest.raises(BuildFailed) as caught:
        lab.build("broken", make_tree(tmp_path, {"requirements.txt": "flask==0.0.0.1\n"}))
    assert caught.value.message == "pip could not install the packages of requirements.txt"
    assert caught.value.remedy == "correct requirements.txt and push again"
    assert any("flask==0.0.0.1" in line for line in caught.value.output)
    assert lab.leftovers() == []
    assert {image.id for image in lab.store.images()} == images


def test_unknown_app_is_told_what_each_buildpack_looks_for(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="No buildpack recognises this app") as caught:
        lab.build("unknown", make_tree(tmp_path, {"main.c": ""}))
    assert [line.split()[0] for line in caught.value.output] == ["nodejs", "python", "static", "procfile"]
    assert "Dockerfile" in caught.value.remedy
    assert lab.leftovers() == []


def test_config_vars_are_seen_by_the_build_and_stay_out_of_the_image(lab: Lab, tmp_path: Path) -> None:
    script = "const fs = require('fs'); fs.writeFileSync('length', String(process.env.TOKEN.length))"
    package = '{"scripts": {"build": "node build.js", "start": "cat length"}}'
    built = lab.build(
        "secrets", make_tree(tmp_path, {"package.json": package, "build.js": script}), env={"TOKEN": "s3cret-value"}
    )
    assert lab.run(built, "cat length") == "12"
    assert "s3cret-value" not in lab.run(built, "env; cat /cnb/launch/*; grep -rl s3cret-value /layers /workspace /cnb || true")
