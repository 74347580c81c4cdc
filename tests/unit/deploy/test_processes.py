"""What users do with processes: one of them, all of them, every app's."""

from __future__ import annotations

import pytest

from paas.deploy import apps, processes, rollback, rollout
from paas.errors import Conflict, DeployFailed, InvalidInput
from paas.model.process import ProcessType
from paas.model.release import BuildResult
from unit.deploy.conftest import take_live

WEB, WORKER = ProcessType(name="web", command="serve"), ProcessType(name="worker", command="work")


@pytest.fixture
def shop(ctx, tmp_path):
    """The app shop with two web processes and one worker, deployed."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    ctx.builders[0].result = BuildResult(image="i", processes=(WEB, WORKER))
    app = apps.create(ctx, "shop")
    ctx.state.apps.scale("shop", {"web": 2, "worker": 1})
    take_live(ctx, app, tmp_path / "tree", "abc")
    return ctx


def test_one_process_is_restarted_by_itself(shop):
    processes.restart(shop, "shop", ["web.2"])
    assert shop.engine.names() == ["shop.web.1.v1.g0", "shop.web.2.v1.g0", "shop.worker.1.v1.g0", "shop.web.2.v1.g1"]
    assert sorted(shop.proxy.upstreams("shop")) == ["10.0.0.1:5000", "10.0.0.4:5000"]
    assert shop.state.apps.formation("shop") == {"web": 2, "worker": 1}


def test_a_restart_of_the_type_after_that_of_one_process_replaces_both(shop):
    processes.restart(shop, "shop", ["web.2"])
    processes.restart(shop, "shop", ["web"])
    assert shop.engine.names()[-2:] == ["shop.web.1.v1.g1", "shop.web.2.v1.g2"]
    assert sorted(shop.proxy.upstreams("shop")) == ["10.0.0.5:5000", "10.0.0.6:5000"]


@pytest.mark.parametrize("target", ["web.3", "web.0", "web.x", "web.", "wrokers", "wrokers.1", "release", ""])
def test_what_does_not_run_cannot_be_restarted(shop, target):
    with pytest.raises(InvalidInput):
        processes.restart(shop, "shop", [target])
    assert shop.state.apps.generations("shop") == {}


def test_a_restart_starts_a_stopped_app(shop):
    processes.stop(shop, "shop")
    processes.restart(shop, "shop")
    assert len(shop.engine.names()) == 3
    assert not shop.state.apps.get("shop").is_stopped


def test_restore_starts_what_is_gone_and_says_what_cannot_start(shop):
    shop.engine.containers.clear()
    shop.scheduler.failing = {"worker"}
    with pytest.raises(DeployFailed, match=r"worker\.1"):
        processes.restore(shop, "shop")
    assert shop.engine.names() == ["shop.web.1.v1.g0", "shop.web.2.v1.g0"]
    shop.scheduler.failing = set()
    processes.restore(shop, "shop")
    assert len(shop.engine.names()) == 3


def test_restore_leaves_a_stopped_app_stopped(shop):
    processes.stop(shop, "shop")
    processes.restore(shop, "shop")
    assert shop.engine.names() == []


def test_a_type_that_left_the_procfile_can_be_scaled_to_nothing(shop):
    shop.state.apps.scale("shop", {"clock": 1})
    assert processes.scale(shop, "shop", {"clock": 0}) == {"web": 2, "worker": 1}
    assert shop.state.apps.formation("shop")["clock"] == 0
    with pytest.raises(InvalidInput, match="clock is not a process type"):
        processes.scale(shop, "shop", {"clock": 1})


def test_limits_wait_for_a_release_and_a_rollback_brings_them_back(shop, tmp_path):
    shop.state.properties.set("shop", "resource", "limit.memory", "64")
    shop.state.properties.set("shop", "ps", "stop-timeout-seconds", "3")
    app = shop.state.apps.get("shop")
    before = rollout.current_deployment(shop, app).properties
    assert before == {"ps.stop-timeout-seconds": "3"}
    take_live(shop, app, tmp_path / "tree", "def")
    assert rollout.current_deployment(shop, app).properties == {"ps.stop-timeout-seconds": "3", "resource.limit.memory": "64"}
    rollback.roll_back(shop, "shop", 1)
    assert rollout.current_deployment(shop, app).properties == {"ps.stop-timeout-seconds": "3"}
    assert shop.state.properties.get("shop", "resource") == {}


def test_an_app_that_was_never_deployed_has_nothing_to_restart(ctx):
    apps.create(ctx, "empty")
    with pytest.raises(Conflict, match="has not been deployed"):
        processes.restart(ctx, "empty")


APP_JSON = '{"formation": {"web": {"quantity": 3, "max_parallel": 1}, "worker": {}}}'


def test_app_json_sets_the_formation_and_then_nobody_scales_by_hand(shop, tmp_path):
    (tmp_path / "tree/app.json").write_text(APP_JSON)
    app = shop.state.apps.get("shop")
    take_live(shop, app, tmp_path / "tree", "def")
    deployment = rollout.current_deployment(shop, app)
    assert deployment.formation == {"web": 3, "worker": 1}
    assert (deployment.parallel_of("web"), deployment.parallel_of("worker")) == (1, 0)
    assert shop.state.releases.current("shop").formation == {"web": 3, "worker": 1}
    with pytest.raises(Conflict, match="formation in app.json and cannot be scaled by hand: web=3"):
        processes.scale(shop, "shop", {"worker": 2})
    rollback.roll_back(shop, "shop", 1)
    assert processes.scale(shop, "shop", {"worker": 0}) == {"web": 2, "worker": 0}


def test_a_scaled_type_that_left_the_procfile_is_skipped_aloud(shop, tmp_path):
    shop.builders[0].result = BuildResult(image="i", processes=(WEB,))
    take_live(shop, shop.state.apps.get("shop"), tmp_path / "tree", "def")
    assert "Skipping worker as it is missing from the current Procfile" in shop.output._err.getvalue()
    typo = '{"formation": {"clokc": {"quantity": 1}}, "healthchecks": {"wbe": [{"path": "/"}]}}'
    (tmp_path / "tree/app.json").write_text(typo, encoding="utf-8-sig")
    take_live(shop, shop.state.apps.get("shop"), tmp_path / "tree", "def")
    assert "Skipping clokc as it is missing" in shop.output._err.getvalue()
    assert "healthchecks of wbe check nothing" in shop.output._err.getvalue()
    assert [name for name in shop.engine.names() if ".v2." in name] == ["shop.web.1.v2.g0", "shop.web.2.v2.g0"]


def test_an_app_of_workers_alone_is_deployed_without_a_route(ctx, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    ctx.builders[0].result = BuildResult(image="i", processes=(WORKER,))
    ctx.state.apps.create("jobs", 0)
    ctx.state.apps.scale("jobs", {"worker": 2})
    take_live(ctx, ctx.state.apps.get("jobs"), tmp_path / "tree", "a")
    assert ctx.engine.names() == ["jobs.worker.1.v1.g0", "jobs.worker.2.v1.g0"]
    assert ctx.proxy.served == {}
    rollout.announce(ctx, ctx.state.apps.get("jobs"), ctx.state.releases.current("jobs"))
    assert "runs without a web process" in ctx.output._out.getvalue()
    ctx.state.apps.scale("jobs", {"worker": 0})
    take_live(ctx, ctx.state.apps.get("jobs"), tmp_path / "tree", "b")
    rollout.announce(ctx, ctx.state.apps.get("jobs"), ctx.state.releases.current("jobs"))
    assert "nothing of jobs v2 is scaled to run: paas ps:scale jobs worker=1" in ctx.output._out.getvalue()
