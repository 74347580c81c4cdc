"""Runs of scheduled tasks: from whatever a crash left, `settle` leads to one run or none, and to a record that says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from paas.context import Context
from paas.deploy import apps, cron, rollout
from paas.deploy.cron import MOST_AT_ONCE
from paas.errors import Conflict, HostProblem, NotFound
from paas.model.container import KIND_CRON, LABEL_DEADLINE, LABEL_KIND
from paas.model.cron import GRACE_S, CronStatus
from unit.deploy.conftest import take_live


@pytest.fixture
def ctx(ctx: Context) -> Context:
    return replace(ctx, now=lambda: 1_000_000.0)


@pytest.fixture
def shop(ctx: Context, tmp_path: Path):
    """Return a function that deploys an app with one task of this policy and gives the task."""
    apps.create(ctx, "shop")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code").write_text("x")

    def deploy(policy: str = "allow", command: str = "tidy", **fields: object):
        task = {"command": command, "schedule": "@daily", "concurrency_policy": policy, **fields}
        (tree / "app.json").write_text(json.dumps({"cron": [task] if command else []}))
        app = ctx.state.apps.get("shop")
        rollout.follow_up(ctx, app, take_live(ctx, app, tree, "abc"))
        return ctx.state.releases.current("shop").app_json.cron[0] if command else None

    return deploy


def containers(ctx: Context) -> list[str]:
    return [c.name for c in ctx.engine.list({LABEL_KIND: KIND_CRON}) if c.is_running]


def begin(ctx: Context, task, moment: float = 0.0):
    return cron.settle(ctx, ctx.state.cron.claim("shop", task, moment, ctx.now(), actor="alice"))


def test_a_run_is_started_on_the_current_release_and_recorded_when_it_ends(ctx, shop):
    run = begin(ctx, shop(), 999_000.0)
    container = ctx.engine.inspect(f"shop.cron.{run.id}")
    assert (run.status, run.release, run.moment, run.finished_at) == (CronStatus.RUNNING, 1, 999_000.0, 0)
    assert (container.image, container.argv) == ("image-1", ("/bin/sh", "-c", "exec tidy"))
    assert container.labels[LABEL_DEADLINE] == "1086400"
    assert container.log_path == ctx.paths.cron_log("shop", run.task, run.id)
    assert cron.settle(ctx, run.id) == run
    ctx.engine.exit(container.id, 3)
    ended = cron.settle(ctx, run.id)
    assert (ended.status, ended.exit_code, ended.is_over) == (CronStatus.FAILED, 3, True)
    assert cron.container_of(ctx, run) is None
    assert cron.settle(ctx, run.id) == ended


def test_a_moment_is_claimed_once(ctx, shop):
    task = shop()
    assert ctx.state.cron.claim("shop", task, 5.0, ctx.now(), actor="")
    assert ctx.state.cron.claim("shop", task, 5.0, ctx.now(), actor="") == 0
    ctx.state.cron.note_missed("shop", task, 5.0, ctx.now(), detail="")
    assert ctx.state.cron.claim("shop", task, 6.0, ctx.now(), actor="")
    assert ctx.state.cron.claim("shop", task, 0.0, ctx.now(), actor="alice")
    assert ctx.state.cron.claim("shop", task, 0.0, ctx.now(), actor="alice")
    assert len(ctx.state.cron.runs("shop")) == 4


def test_forbid_skips_while_one_runs(ctx, shop):
    task = shop("forbid")
    first, second = begin(ctx, task, 1.0), begin(ctx, task, 2.0)
    assert (second.status, second.detail) == (CronStatus.SKIPPED, f"run {first.id} was still running")
    with pytest.raises(Conflict, match=f"run {first.id} was still running"):
        cron.run_now(ctx, "shop", task.id)
    assert containers(ctx) == [f"shop.cron.{first.id}"]
    ctx.engine.exit(containers(ctx)[0], 0)
    assert cron.run_now(ctx, "shop", task.id).status is CronStatus.RUNNING


def test_replace_stops_the_one_that_runs(ctx, shop):
    task = shop("replace")
    first, second = begin(ctx, task, 1.0), begin(ctx, task, 2.0)
    assert containers(ctx) == [f"shop.cron.{second.id}"]
    old = ctx.state.cron.run(first.id)
    assert (old.status, old.exit_code, old.detail) == (CronStatus.REPLACED, 143, f"run {second.id} took its place")


def test_allow_lets_them_run_side_by_side_up_to_a_limit(ctx, shop):
    task = shop()
    began = [begin(ctx, task, float(n)) for n in range(1, MOST_AT_ONCE + 2)]
    assert [run.status for run in began] == [CronStatus.RUNNING] * MOST_AT_ONCE + [CronStatus.SKIPPED]


def test_a_starter_that_died_is_made_good_unless_it_is_too_late(ctx, shop):
    task = shop()
    before = ctx.state.cron.claim("shop", task, 1.0, ctx.now() - GRACE_S, actor="")  # died before it made a container
    during = ctx.state.cron.claim("shop", task, 2.0, ctx.now(), actor="")  # after it made one
    ctx.engine.create(cron._spec(ctx, ctx.state.apps.get("shop"), ctx.state.releases.current("shop"), ctx.state.cron.run(during)))
    after = ctx.state.cron.claim("shop", task, 3.0, ctx.now(), actor="")  # after it started one
    spec = cron._spec(ctx, ctx.state.apps.get("shop"), ctx.state.releases.current("shop"), ctx.state.cron.run(after))
    ctx.engine.start(ctx.engine.create(spec).id)
    late = ctx.state.cron.claim("shop", task, 4.0, ctx.now() - GRACE_S - 1, actor="")
    found = {run_id: cron.settle(ctx, run_id, after_crash=True).status for run_id in (before, during, after, late)}
    assert list(found.values()) == [CronStatus.RUNNING] * 3 + [CronStatus.MISSED]
    assert sorted(containers(ctx)) == sorted(f"shop.cron.{run_id}" for run_id in (before, during, after))
    assert ctx.state.cron.run(after).release == 1


def test_a_container_that_ended_while_nobody_looked_is_recorded(ctx, shop):
    run = begin(ctx, shop(), 1.0)
    ctx.engine.exit(f"shop.cron.{run.id}", 0)
    assert cron.settle(ctx, run.id).status is CronStatus.SUCCEEDED


def test_a_container_that_somebody_removed_is_lost(ctx, shop):
    run = begin(ctx, shop(), 1.0)
    ctx.engine.remove(f"shop.cron.{run.id}")
    lost = cron.settle(ctx, run.id)
    assert (lost.status, lost.exit_code, lost.detail) == (CronStatus.LOST, None, "its container was removed")


@pytest.mark.parametrize("step", ["create", "start"])
def test_a_run_that_cannot_start_fails_with_the_reason_and_leaves_nothing(ctx, shop, step):
    task = shop()
    ctx.engine.behaviour[step] = HostProblem("The disk is full")
    run = begin(ctx, task, 1.0)
    assert (run.status, run.detail, run.is_over) == (CronStatus.FAILED, "The disk is full", True)
    assert ctx.engine.list({LABEL_KIND: KIND_CRON}) == ()


def test_a_run_survives_a_deploy_and_a_task_that_is_gone_is_not_begun(ctx, shop):
    task = shop()
    run = begin(ctx, task, 1.0)
    queued = ctx.state.cron.claim("shop", task, 2.0, ctx.now(), actor="")
    shop(command="")
    assert cron.settle(ctx, run.id).status is CronStatus.RUNNING
    assert (gone := cron.settle(ctx, queued)).status is CronStatus.SKIPPED
    assert gone.detail == "the task is gone"
    with pytest.raises(NotFound, match="has no scheduled task"):
        cron.run_now(ctx, "shop", task.id)


def test_a_stopped_run_says_who_stopped_it(ctx, shop):
    run = begin(ctx, shop(), 1.0)
    stopped = cron.stop_run(ctx, run, CronStatus.STOPPED, "stopped by alice")
    assert (stopped.status, stopped.exit_code, stopped.detail) == (CronStatus.STOPPED, 143, "stopped by alice")
    assert cron.stop_run(ctx, run, CronStatus.TIMED_OUT, "too long") == stopped


def test_suspended_tasks_are_not_active(ctx, shop):
    task = shop()
    assert [(a.app, a.task) for a in cron.active_tasks(ctx)] == [("shop", task)]
    assert cron.set_suspended(ctx, "shop", task.id[:4], True) == (task,)
    assert cron.set_suspended(ctx, "shop", "", True) == ()
    assert cron.active_tasks(ctx) == ()
    assert cron.set_suspended(ctx, "shop", "", False) == (task,)
    assert len(cron.active_tasks(ctx)) == 1
    shop(maintenance=True)
    assert len(cron.active_tasks(ctx)) == 1  # what was said counts more than what is written
    assert [event.event for event in ctx.state.events.list("shop") if "cron" in event.event] == ["cron:suspend", "cron:resume"]


def test_a_task_in_maintenance_is_suspended_until_it_is_resumed(ctx, shop):
    shop(maintenance=True)
    assert cron.active_tasks(ctx) == ()
    cron.set_suspended(ctx, "shop", "", False)
    assert len(cron.active_tasks(ctx)) == 1


def test_old_runs_go_with_their_output_and_the_newest_stay(ctx, shop):
    task, keep = shop(), ctx.settings.cron_keep
    ids = [ctx.state.cron.claim("shop", task, float(n), 0.0, actor="") for n in range(1, keep + 4)]
    for run_id in ids[:-1]:
        ctx.state.cron.finish(run_id, CronStatus.SUCCEEDED, ctx.now() - (7200 if run_id != ids[1] else 60))
        log = ctx.paths.cron_log("shop", task.id, run_id)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        log.with_name(log.name + ".1").touch()
    cron.prune(ctx)
    assert [run.id for run in ctx.state.cron.runs("shop")] == [*reversed(ids[3:]), ids[1]]  # one of the last hour is kept
    assert not ctx.paths.cron_log("shop", task.id, ids[0]).exists()
    assert len(list(ctx.paths.app_logs("shop").glob("cron.*/*"))) == 2 * (len(ids) - 3)


def test_runs_go_with_their_app_and_move_with_its_name(ctx, shop):
    begin(ctx, shop(), 1.0)
    ctx.state.apps.rename("shop", "store")
    assert len(ctx.state.cron.runs("store")) == 1
    ctx.state.apps.destroy("store")
    assert ctx.state.cron.open_runs() == ()
