"""buildpack.toml and order.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.builders.buildpack.buildpack import Buildpack, GroupMember, all_buildpacks, chosen_order, load_order
from paas.errors import HostProblem, InvalidFile

GOOD = 'api = "0.10"\n[buildpack]\nid = "acme/go"\nversion = "1.2"\nclear-env = true\n[metadata]\nlooks-for = "go.mod"\n'
ORDER = '[[order]]\n[[order.group]]\nid = "acme/go"\noptional = true\n'


def write(directory: Path, buildpack: str = GOOD, order: str = ORDER) -> Path:
    (directory / "go").mkdir()
    (directory / "go" / "buildpack.toml").write_text(buildpack)
    (directory / "order.toml").write_text(order)
    return directory


def test_order_names_buildpacks_beside_it(tmp_path: Path) -> None:
    go = Buildpack(id="acme/go", version="1.2", api=(0, 10), directory="go", clears_env=True, looks_for="go.mod")
    assert load_order(write(tmp_path)) == ((GroupMember(buildpack=go, is_optional=True),),)
    assert (go.layers_name, go.target) == ("acme_go", "/cnb/buildpacks/go")


@pytest.mark.parametrize(
    ("buildpack", "order", "problem"),
    [
        (GOOD.replace("0.10", "0.2"), ORDER, "API '0.2' is not spoken here; 0.5 to 0.11 are"),
        (GOOD.replace("acme/go", "../etc"), ORDER, "needs buildpack.id"),
        ("= broken", ORDER, "not valid TOML"),
        (GOOD, ORDER.replace("acme/go", "acme/rust"), "no buildpack 'acme/rust'"),
        (GOOD, "", "names no group"),
    ],
)
def test_wrong_files_are_told_by_name(tmp_path: Path, buildpack: str, order: str, problem: str) -> None:
    with pytest.raises(InvalidFile, match=problem):
        load_order(write(tmp_path, buildpack, order))


def test_missing_directory_is_a_problem_of_the_installation(tmp_path: Path) -> None:
    with pytest.raises(HostProblem, match="order.toml"):
        load_order(tmp_path / "nowhere")


def test_buildpacks_of_this_project_are_valid_and_explain_themselves() -> None:
    order = load_order(Path(__file__).parents[4] / "buildpacks")
    assert [b.id for b in all_buildpacks(order)] == ["nodejs", "python", "static", "procfile"]
    assert all(buildpack.looks_for for buildpack in all_buildpacks(order))


IN_TREE = load_order(Path(__file__).parents[4] / "buildpacks")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["python"], ["python"]),
        (["heroku/nodejs", "heroku/python"], ["nodejs", "python"]),
        (["https://github.com/heroku/heroku-buildpack-python.git#v250"], ["python"]),
        (["https://github.com/heroku/heroku-buildpack-nodejs", "heroku/nodejs"], ["nodejs"]),
        (["https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku-community/static.tgz"], ["static"]),
        (["heroku/procfile"], ["procfile"]),
    ],
)
def test_app_json_chooses_buildpacks_by_their_names_and_by_those_of_heroku(names: list[str], expected: list[str]) -> None:
    (group,) = chosen_order(IN_TREE, names)
    assert [(member.buildpack.id, member.is_optional) for member in group] == [(name, False) for name in expected]


@pytest.mark.parametrize(
    "name", ["heroku/ruby", "https://github.com/acme/heroku-buildpack-python", "../python", "", "https://example.com/x.tgz"]
)
def test_a_buildpack_that_is_not_here_is_told_with_those_that_are(name: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        chosen_order(IN_TREE, ["python", name])
    assert caught.value.message == f"app.json: there is no buildpack '{name}' here"
    assert "nodejs, python, static, procfile" in caught.value.remedy


def test_without_a_choice_the_order_stays() -> None:
    assert chosen_order(IN_TREE, ()) == IN_TREE
