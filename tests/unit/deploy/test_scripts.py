"""Tasks around a release: in which order, on which image, and what a failure leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from paas.context import Context
from paas.deploy import apps, config, gc, rollback
from paas.errors import Cancelled, CommandFailed, HostProblem, TaskFailed
from paas.model.container import KIND_TASK, LABEL_APP, LABEL_KIND, ContainerSpec
from paas.model.process import ProcessType
from paas.model.release import BuildResult, ReleaseStatus
from unit.deploy.conftest import take_live

PRE, RELEASE, POST, FIRST = "make assets", "migrate", "notify", "seed"


@pytest.fixture
def tree(tmp_path: Path, ctx: Context) -> Path:
    directory = tmp_path / "tree"
    directory.mkdir()
    (directory / "code").write_text("x")
    scripts = {"dokku": {"predeploy": PRE, "postdeploy": POST}, "postdeploy": FIRST}
    (directory / "app.json").write_text(json.dumps({"scripts": scripts}))
    ctx.builders[0].result = BuildResult(
        image="image-1", processes=(ProcessType(name="web", command="serve"), ProcessType(name="release", command=RELEASE))
    )
    apps.create(ctx, "shop")
    return directory


def deploy(ctx: Context, tree: Path) -> None:
    app = ctx.state.apps.get("shop")
    take_live(ctx, app, tree, "abc")


def ran(ctx: Context) -> list[tuple[str, str]]:
    """Return the tasks that ran since the last call, with their images."""
    found = [(spec.argv[-1].removeprefix("exec "), spec.image) for spec in ctx.engine.ran]
    ctx.engine.ran.clear()
    return found


def versions(ctx: Context) -> dict[int, str]:
    return {release.version: release.status for release in ctx.state.releases.list("shop")}


def test_tasks_run_in_their_order_and_what_predeploy_leaves_is_released(ctx, tree):
    deploy(ctx, tree)
    assert ran(ctx) == [(PRE, "image-1"), (RELEASE, "image-1+1"), (FIRST, "image-1+1"), (POST, "image-1+1")]
    assert ctx.state.releases.current("shop").image == "image-1+1"
    assert [c.image for c in ctx.engine.list()] == ["image-1+1"]
    assert gc.kept_images(ctx) == {"image-1", "image-1+1"}


def test_the_first_postdeploy_runs_once(ctx, tree):
    deploy(ctx, tree)
    ran(ctx)
    deploy(ctx, tree)
    assert [task for task, _ in ran(ctx)] == [PRE, RELEASE, POST]


def test_a_script_that_comes_with_a_later_deploy_is_not_for_the_first(ctx, tree):
    whole = (tree / "app.json").read_text()
    (tree / "app.json").unlink()
    deploy(ctx, tree)
    ran(ctx)
    (tree / "app.json").write_text(whole)
    deploy(ctx, tree)
    assert FIRST not in [task for task, _ in ran(ctx)]


def test_a_config_change_runs_them_on_the_image_as_built_and_a_rollback_runs_only_postdeploy(ctx, tree):
    deploy(ctx, tree)
    ran(ctx)
    config.set_config(ctx, "shop", {"A": "1"})
    assert ran(ctx) == [(PRE, "image-1"), (RELEASE, "image-1+1"), (POST, "image-1+1")]
    assert ctx.state.releases.current("shop").config["A"] == "1"
    rollback.roll_back(ctx, "shop", 1)
    assert ran(ctx) == [(POST, "image-1+1")]


@pytest.mark.parametrize("task", [PRE, RELEASE])
@pytest.mark.parametrize(
    ("does", "error", "said"),
    [
        (3, TaskFailed, "exited with status 3"),
        (CommandFailed(["x"], -9), TaskFailed, "did not end within 3600 s"),
        (HostProblem("no network"), HostProblem, "no network"),
        (KeyboardInterrupt(), Cancelled, "The deploy of shop was canceled by alice"),
    ],
)
def test_a_failure_before_the_switch_leaves_everything_as_it_was(ctx, tree, task, does, error, said):
    deploy(ctx, tree)
    before, stored = ctx.engine.names(), ctx.state.config.get("shop")
    ctx.engine.behaviour[task] = does
    with pytest.raises(error, match=said):
        deploy(ctx, tree)
    with pytest.raises(error, match=said):
        config.set_config(ctx, "shop", {"A": "1"})
    assert versions(ctx) == {1: ReleaseStatus.CURRENT, 2: ReleaseStatus.FAILED, 3: ReleaseStatus.FAILED}
    assert (ctx.engine.names(), ctx.state.config.get("shop")) == (before, stored)
    ctx.engine.behaviour.clear()
    deploy(ctx, tree)
    assert ctx.state.releases.current("shop").version == 4


@pytest.mark.parametrize("does", [1, HostProblem("The disk is full"), KeyboardInterrupt()])
def test_a_failure_after_the_switch_is_said_and_recorded_and_takes_nothing_back(ctx, tree, does):
    ctx.engine.behaviour = {POST: does, FIRST: does}
    deploy(ctx, tree)
    assert versions(ctx) == {1: ReleaseStatus.CURRENT}
    said = ctx.output._err.getvalue()
    assert "v1 is live all the same; to run the task again: paas run shop 'notify'" in said
    assert [event.event for event in ctx.state.events.list("shop")].count("postdeploy failed") == 2
    ran(ctx)
    ctx.engine.behaviour = {}
    deploy(ctx, tree)
    assert FIRST in [task for task, _ in ran(ctx)]  # it has not worked yet
    deploy(ctx, tree)
    assert FIRST not in [task for task, _ in ran(ctx)]


def test_a_task_whose_command_was_killed_is_ended_before_the_next_one_runs(ctx, tree):
    labels = {LABEL_APP: "shop", LABEL_KIND: KIND_TASK}
    left = ContainerSpec(image="image-1", argv=("migrate",), name="left", labels=labels)
    ctx.engine.create(left)
    ctx.engine.create(replace(left, name="other", labels={**labels, LABEL_APP: "other"}))
    deploy(ctx, tree)
    assert [c.name for c in ctx.engine.list({LABEL_KIND: KIND_TASK})] == ["other"]


def test_the_output_of_a_task_is_streamed(ctx, tree):
    ctx.engine.behaviour[PRE] = "one\ntwo\n"
    deploy(ctx, tree)
    assert "-----> Running predeploy task: make assets\n       one\n       two\n" in ctx.output._out.getvalue()
