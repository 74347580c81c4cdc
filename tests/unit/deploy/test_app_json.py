"""app.json on its way: read before the build, kept with the build and with each release."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.context import Context
from paas.deploy import apps, config, rollback
from paas.deploy.environment import plan_config
from paas.errors import DeployFailed, InvalidFile, InvalidInput
from paas.model.appjson import EnvVar
from paas.model.release import BuildKind, BuildStatus
from unit.deploy.conftest import take_live


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    return tmp_path / "tree"


def deploy(ctx: Context, tree: Path, app_json: str = "") -> None:
    if app_json:
        (tree / "app.json").write_text(app_json)
    else:
        (tree / "app.json").unlink(missing_ok=True)
    app = ctx.state.apps.find("shop") or apps.create(ctx, "shop")
    take_live(ctx, app, tree, "abc")


def test_each_release_keeps_the_app_json_of_its_build(ctx, tree):
    first, second = '{"formation": {"web": {"quantity": 2}}}', '{/* none */}'
    deploy(ctx, tree, first)
    deploy(ctx, tree, second)
    config.set_config(ctx, "shop", {"A": "1"})
    rollback.roll_back(ctx, "shop", 1)
    deploy(ctx, tree)
    kept = {release.version: release.app_json.text for release in ctx.state.releases.list("shop")}
    assert kept == {1: first, 2: second, 3: second, 4: first, 5: ""}
    assert ctx.state.releases.get("shop", 4).app_json.quantities == {"web": 2}
    built = [build for build in ctx.state.builds.list("shop") if build.kind is BuildKind.BUILD]
    assert [build.app_json.text for build in built] == ["", second, first]


def test_a_wrong_app_json_stops_before_anything_is_built(ctx, tree):
    with pytest.raises(InvalidFile, match=r"app.json:1: formation.web.quantity must be a whole number"):
        deploy(ctx, tree, '{"formation": {"web": {"quantity": "2"}}}')
    build = ctx.state.builds.list("shop")[0]
    assert build.status is BuildStatus.FAILED
    assert "built" not in ctx.paths.build_log(build.id).read_text()
    assert ctx.state.releases.list("shop") == ()


def test_the_builder_is_told_which_buildpacks_are_wanted(ctx, tree):
    deploy(ctx, tree, '{"buildpacks": [{"url": "heroku/nodejs"}, {"url": "python"}]}')
    deploy(ctx, tree)
    assert [request.buildpacks for request in ctx.builders[0].requests] == [("heroku/nodejs", "python"), ()]


def test_app_json_is_read_where_its_property_says(ctx, tree):
    apps.create(ctx, "shop")
    ctx.state.properties.set("shop", "app-json", "appjson-path", "deploy/app.json")
    (tree / "deploy").mkdir()
    (tree / "deploy/app.json").write_text('{"scripts": {"postdeploy": "seed"}}')
    deploy(ctx, tree, "not read")
    assert ctx.state.releases.get("shop", 1).app_json.scripts.first_postdeploy == "seed"


def test_an_app_json_that_is_a_link_is_not_read(ctx, tree, tmp_path):
    (tmp_path / "secret").write_text("not json")
    (tree / "app.json").symlink_to(tmp_path / "secret")
    app = apps.create(ctx, "shop")
    take_live(ctx, app, tree)
    assert ctx.state.releases.get("shop", 1).app_json.text == ""


ENV = '''{"env": {
  "COLOR": "blue",
  "KEY": {"description": "signs cookies", "generator": "secret"},
  "TOKEN": {"description": "of the mail service"},
  "MODE": {"value": "new", "sync": true},
  "MAYBE": {"required": false}
}}'''


def test_a_deploy_gives_the_app_the_config_vars_of_app_json(ctx, tree):
    apps.create(ctx, "shop")
    config.set_config(ctx, "shop", {"TOKEN": "t", "MODE": "old"})
    seen = {}
    build_with = ctx.builders[0].build
    ctx.builders[0].build = lambda request: seen.update(request.env) or build_with(request)
    deploy(ctx, tree, ENV)
    stored = ctx.state.config.get("shop")
    assert {key: stored[key] for key in stored if key != "KEY"} == {"COLOR": "blue", "TOKEN": "t", "MODE": "new"}
    assert len(bytes.fromhex(stored["KEY"])) == 32
    assert ctx.state.releases.current("shop").config == stored == seen
    config.set_config(ctx, "shop", {"COLOR": "red"})
    config.unset_config(ctx, "shop", ["MODE"])
    deploy(ctx, tree, ENV)
    assert ctx.state.config.get("shop") == {**stored, "COLOR": "red"}
    assert stored["KEY"] not in ctx.output._out.getvalue()


def test_a_required_config_var_without_a_value_stops_before_anything_is_built(ctx, tree):
    apps.create(ctx, "shop")
    with pytest.raises(InvalidInput) as caught:
        deploy(ctx, tree, ENV)
    assert caught.value.message == "app.json of shop requires config vars that have no value: TOKEN (of the mail service)"
    assert caught.value.remedy == "run: paas config:set shop TOKEN=..."
    assert ctx.state.config.get("shop") == {}
    assert "built" not in ctx.output._out.getvalue()


def test_nothing_is_generated_for_good_by_a_deploy_that_fails(ctx, tree):
    apps.create(ctx, "shop")
    config.set_config(ctx, "shop", {"TOKEN": "t"})
    ctx.scheduler.failing = {"web"}
    with pytest.raises(DeployFailed):
        deploy(ctx, tree, ENV)
    assert ctx.state.config.get("shop") == {"TOKEN": "t"}
    assert ctx.state.events.list("shop")[0].event != "app.json env"


def test_a_value_that_is_there_is_kept_unless_it_is_synced():
    declared = [
        EnvVar(name="A", value="new"), EnvVar(name="B", value="new", is_synced=True), EnvVar(name="C", value="", is_synced=True),
        EnvVar(name="D", is_generated=True, is_synced=True), EnvVar(name="E", value="x"), EnvVar(name="F", is_generated=True),
    ]  # fmt: skip
    present = {"A": "old", "B": "old", "C": "", "D": "old"}
    assert plan_config("shop", declared, present, generate=lambda: "made") == {"B": "new", "E": "x", "F": "made"}
