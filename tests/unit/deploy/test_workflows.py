"""The workflows against a real ledger and containers in memory: what runs, what is recorded, what a failure leaves."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from paas.context import Context
from paas.deploy import apps, build, config, ledger, processes, release, rollback, rollout, routes
from paas.deploy.config import Outcome
from paas.deploy.intent import current_deployment, deployment_for
from paas.deploy.queue import app_turn, container_turn, release_turn
from paas.deploy.retire import Retirement
from paas.errors import BuildFailed, Conflict, DeployFailed, HostProblem, InvalidFile, InvalidInput, NotFound, RoutingFailed
from paas.model.process import ProcessId, ProcessType
from paas.model.release import BuildResult, BuildStatus, ReleaseStatus
from paas.model.route import PortMap
from paas.model.source import Source
from paas.schedulers import Deployment
from unit.deploy.conftest import take_live


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    return tmp_path / "tree"


def deploy(ctx: Context, tree: Path, revision: str = "abc") -> None:
    app = ctx.state.apps.find("shop") or apps.create(ctx, "shop")
    take_live(ctx, app, tree, revision)


def retire(ctx: Context) -> None:
    retirement = Retirement()
    clock = [1000.0]
    timed = replace(ctx, now=lambda: clock[0])
    retirement.adopt(timed, "shop")
    for _ in range(5):
        retirement.step(timed)
        clock[0] += 31


def test_a_push_serves_and_is_recorded(ctx, tree):
    deploy(ctx, tree)
    release = ctx.state.releases.current("shop")
    assert (release.version, release.status, release.actor, release.revision) == (1, ReleaseStatus.CURRENT, "alice", "abc")
    assert ctx.engine.names() == ["shop.web.1.v1.g0"]
    assert ctx.proxy.upstreams("shop") == ["10.0.0.1:5000"]
    assert ctx.state.builds.list("shop")[0].status is BuildStatus.SUCCEEDED
    assert "built" in ctx.paths.build_log(ctx.state.builds.list("shop")[0].id).read_text()
    assert "http://shop.localhost" in ctx.output._out.getvalue()


def test_a_second_push_switches_and_the_old_container_is_retired(ctx, tree):
    deploy(ctx, tree)
    deploy(ctx, tree, "def")
    assert ctx.proxy.upstreams("shop") == ["10.0.0.2:5000"]
    assert [(r.version, r.status) for r in sorted(ctx.state.releases.list("shop"), key=lambda r: r.version)] == [
        (1, ReleaseStatus.SUPERSEDED), (2, ReleaseStatus.CURRENT),
    ]  # fmt: skip
    retire(ctx)
    assert ctx.engine.names() == ["shop.web.1.v2.g0"]


def test_a_process_that_never_gets_ready_leaves_the_old_release_whole(ctx, tree):
    deploy(ctx, tree)
    ctx.scheduler.failing = {"web"}
    with pytest.raises(DeployFailed):
        deploy(ctx, tree, "bad")
    assert ctx.engine.names() == ["shop.web.1.v1.g0"]
    assert ctx.proxy.upstreams("shop") == ["10.0.0.1:5000"]
    assert ctx.state.releases.current("shop").version == 1
    assert ctx.state.releases.get("shop", 2).status is ReleaseStatus.FAILED


def test_a_proxy_that_refuses_leaves_the_old_release_whole(ctx, tree):
    deploy(ctx, tree)
    ctx.proxy.is_refusing = True
    with pytest.raises(RoutingFailed):
        deploy(ctx, tree, "bad")
    assert ctx.engine.names() == ["shop.web.1.v1.g0"]
    assert ctx.state.releases.current("shop").version == 1


def test_a_worker_that_fails_keeps_web_on_the_old_release_too(ctx, tree):
    ctx.builders[0].result = BuildResult(
        image="i", processes=(ProcessType(name="web", command="w"), ProcessType(name="worker", command="k"))
    )
    deploy(ctx, tree)
    processes.scale(ctx, "shop", {"worker": 1})
    ctx.scheduler.failing = {"worker"}
    with pytest.raises(DeployFailed):
        deploy(ctx, tree, "bad")
    assert ctx.engine.names() == ["shop.web.1.v1.g0", "shop.worker.1.v1.g0"]


def test_an_invalid_procfile_stops_before_anything_is_built(ctx, tree):
    (tree / "Procfile").write_text("web serve\n")
    with pytest.raises(InvalidFile, match="Procfile:1"):
        deploy(ctx, tree)
    assert ctx.state.builds.list("shop")[0].status is BuildStatus.FAILED
    log = ctx.paths.build_log(ctx.state.builds.list("shop")[0].id).read_text()
    assert "built" not in log
    assert " !     Procfile:1: expected 'type: command'" in log


def test_a_procfile_that_is_a_link_is_not_read(ctx, tree, tmp_path):
    (tmp_path / "secret").write_text("not a procfile")
    (tree / "Procfile").symlink_to(tmp_path / "secret")
    deploy(ctx, tree)
    assert ctx.state.releases.current("shop").version == 1


def test_an_unknown_kind_of_app_is_refused_with_what_would_do(ctx, tree):
    (tree / "code").unlink()
    with pytest.raises(BuildFailed) as caught:
        deploy(ctx, tree)
    assert "requirements.txt" in caught.value.remedy


def test_scaling_keeps_the_running_ones_and_is_recorded_after_they_serve(ctx, tree):
    deploy(ctx, tree)
    assert processes.scale(ctx, "shop", {"web": 3}) == {"web": 3}
    assert ctx.engine.names() == ["shop.web.1.v1.g0", "shop.web.2.v1.g0", "shop.web.3.v1.g0"]
    assert len(ctx.proxy.upstreams("shop")) == 3
    processes.scale(ctx, "shop", {"web": 1})
    assert ctx.proxy.upstreams("shop") == ["10.0.0.1:5000"]
    retire(ctx)
    assert ctx.engine.names() == ["shop.web.1.v1.g0"]


def test_scaling_up_again_takes_back_what_was_not_yet_told_to_stop_and_replaces_what_was(ctx, tree):
    deploy(ctx, tree)
    processes.scale(ctx, "shop", {"web": 3})
    processes.scale(ctx, "shop", {"web": 1})
    retirement = Retirement()
    retirement.adopt(ctx, "shop")
    ctx.scheduler.retire(ctx.engine.inspect("c3"))
    processes.scale(ctx, "shop", {"web": 3})
    assert ctx.proxy.upstreams("shop") == ["10.0.0.1:5000", "10.0.0.2:5000", "10.0.0.4:5000"]
    later = replace(ctx, now=lambda: ctx.now() + 3600)
    retirement.step(later)
    assert "c2" not in ctx.scheduler.told


def test_a_scale_that_fails_changes_nothing(ctx, tree):
    deploy(ctx, tree)
    ctx.scheduler.failing = {"web"}
    with pytest.raises(DeployFailed):
        processes.scale(ctx, "shop", {"web": 2})
    assert ctx.state.apps.formation("shop") == {}
    assert ctx.engine.names() == ["shop.web.1.v1.g0"]


def test_scaling_an_unknown_type_names_those_there_are(ctx, tree):
    deploy(ctx, tree)
    with pytest.raises(InvalidInput) as caught:
        processes.scale(ctx, "shop", {"wrokers": 1})
    assert caught.value.remedy == "it has: web"


def test_a_restart_replaces_one_for_one(ctx, tree):
    deploy(ctx, tree)
    processes.restart(ctx, "shop")
    assert ctx.proxy.upstreams("shop") == ["10.0.0.2:5000"]
    retire(ctx)
    assert ctx.engine.names() == ["shop.web.1.v1.g1"]


def test_a_stopped_app_stays_stopped_until_it_is_started(ctx, tree):
    deploy(ctx, tree)
    processes.stop(ctx, "shop")
    assert (ctx.engine.names(), ctx.proxy.upstreams("shop")) == ([], [])
    assert rollout.reconcile(ctx, "shop") == ()
    assert ctx.engine.names() == []
    processes.start_app(ctx, "shop")
    assert len(ctx.engine.names()) == 1
    assert not ctx.state.apps.get("shop").is_stopped


def test_a_crashed_process_is_missing_and_comes_back(ctx, tree):
    deploy(ctx, tree)
    processes.scale(ctx, "shop", {"web": 2})
    ctx.engine.exit("c1", 3)
    app = ctx.state.apps.get("shop")
    assert [(m.process, m.exit_code) for m in rollout.missing(ctx, app)] == [(ProcessId(type="web", index=1), 3)]
    assert rollout.reconcile(ctx, "shop", only=()) == ()
    assert ctx.proxy.upstreams("shop") == ["10.0.0.2:5000"]  # routed around it at once
    rollout.reconcile(ctx, "shop")
    assert sorted(ctx.proxy.upstreams("shop")) == ["10.0.0.2:5000", "10.0.0.3:5000"]
    assert rollout.missing(ctx, app) == ()


def test_reconcile_starts_everything_while_the_proxy_refuses(ctx, tree):
    deploy(ctx, tree)
    processes.scale(ctx, "shop", {"web": 2})
    before = ctx.engine.names()
    ctx.engine.containers.clear()
    ctx.proxy.is_refusing = True  # as when another program has port 80 after a reboot
    failures = rollout.reconcile(ctx, "shop")
    assert [failure.message for failure in failures] == ["nginx -t failed"]
    assert ctx.engine.names() == before


def test_reconcile_brings_up_what_can_start_when_something_cannot(ctx, tree):
    ctx.builders[0].result = BuildResult(
        image="i", processes=(ProcessType(name="web", command="w"), ProcessType(name="worker", command="k"))
    )
    deploy(ctx, tree)
    processes.scale(ctx, "shop", {"worker": 1})
    ctx.engine.containers.clear()  # as after a reboot
    ctx.scheduler.failing = {"worker"}
    failures = rollout.reconcile(ctx, "shop")
    assert [f.message for f in failures] == ["worker.1 did not start"]
    assert ctx.engine.names() == ["shop.web.1.v1.g0"]


def test_a_config_change_is_a_release_with_the_new_value(ctx, tree):
    deploy(ctx, tree)
    assert config.set_config(ctx, "shop", {"A": "x y\n'"}) is Outcome.LIVE
    release = ctx.state.releases.current("shop")
    assert (release.version, release.config, release.cause) == (2, {"A": "x y\n'"}, "config:set +A")
    assert ctx.state.config.get("shop") == {"A": "x y\n'"}
    assert config.set_config(ctx, "shop", {"A": "x y\n'"}) is Outcome.UNCHANGED
    assert config.unset_config(ctx, "shop", ["A"]) is Outcome.LIVE
    assert ctx.state.releases.current("shop").config == {}
    assert config.unset_config(ctx, "shop", ["A"]) is Outcome.UNCHANGED
    assert ctx.state.releases.current("shop").version == 3


def test_a_config_change_that_breaks_the_app_is_not_kept(ctx, tree):
    deploy(ctx, tree)
    ctx.scheduler.failing = {"web"}
    with pytest.raises(DeployFailed):
        config.set_config(ctx, "shop", {"A": "bad"})
    assert ctx.state.config.get("shop") == {}
    assert ctx.state.releases.current("shop").version == 1


def test_config_without_restart_waits_for_the_next_release(ctx, tree):
    deploy(ctx, tree)
    config.set_config(ctx, "shop", {"A": "1"}, restart=False)
    assert ctx.state.releases.current("shop").config == {}
    deploy(ctx, tree)
    assert ctx.state.releases.current("shop").config == {"A": "1"}


def test_a_rollback_brings_back_image_and_config(ctx, tree):
    config_before = {"A": "1"}
    deploy(ctx, tree)
    config.set_config(ctx, "shop", config_before)
    ctx.builders[0].result = replace(ctx.builders[0].result, image="image-2")
    deploy(ctx, tree)
    config.set_config(ctx, "shop", {"A": "2", "B": "3"})
    live = rollback.roll_back(ctx, "shop", 2)
    assert (live.version, live.image, live.config) == (5, "image-1", config_before)
    assert ctx.state.config.get("shop") == config_before
    assert ctx.state.releases.get("shop", 4).status is ReleaseStatus.ROLLED_BACK


def test_a_rollback_without_a_version_goes_one_back(ctx, tree):
    deploy(ctx, tree)
    with pytest.raises(Conflict, match="no earlier release"):
        rollback.roll_back(ctx, "shop")
    deploy(ctx, tree, "two")
    assert rollback.roll_back(ctx, "shop").revision == "abc"


def test_a_rollback_to_nowhere_is_refused(ctx, tree):
    deploy(ctx, tree)
    with pytest.raises(Conflict, match="is the current release"):
        rollback.roll_back(ctx, "shop", 1)
    with pytest.raises(NotFound):
        rollback.roll_back(ctx, "shop", 9)


def test_domains_are_recorded_when_the_proxy_accepts_them(ctx, tree):
    deploy(ctx, tree)
    assert routes.change_domains(ctx, "shop", lambda now: (*now, "a.example.com")) == ("shop.localhost", "a.example.com")
    assert ctx.proxy.served["shop"][0].domains == ("shop.localhost", "a.example.com")
    ctx.proxy.is_refusing = True
    with pytest.raises(RoutingFailed):
        routes.change_domains(ctx, "shop", lambda now: ("b.example.com",))
    assert ctx.state.routes.domains("shop") == ("shop.localhost", "a.example.com")


def test_the_default_domain_alone_is_not_recorded_and_follows_a_rename(ctx, tree):
    deploy(ctx, tree)
    routes.change_domains(ctx, "shop", lambda now: (*now, "a.example.com"))
    assert routes.change_domains(ctx, "shop", lambda now: now[:1]) == ("shop.localhost",)
    assert ctx.state.routes.domains("shop") == ()
    apps.rename(ctx, "shop", "store")
    assert ctx.proxy.served["store"][0].domains == ("store.localhost",)


def test_a_port_is_added_to_the_detected_one(ctx, tree):
    deploy(ctx, tree)
    http, other = PortMap(scheme="http", host=80, container=5000), PortMap(scheme="http", host=8080, container=5000)
    assert routes.change_ports(ctx, "shop", lambda now: (*now, other)) == (http, other)
    assert ctx.proxy.served["shop"][0].ports == (http, other)
    assert routes.change_ports(ctx, "shop", lambda now: [http]) == (http,)
    assert ctx.state.routes.ports("shop") == ()


def test_a_domain_of_another_app_is_refused(ctx, tree):
    deploy(ctx, tree)
    apps.create(ctx, "blog")
    with pytest.raises(Conflict, match=r"shop\.localhost belongs to shop"):
        routes.change_domains(ctx, "blog", lambda now: ("shop.localhost",))


def test_an_app_can_be_renamed_while_it_serves(ctx, tree):
    deploy(ctx, tree)
    apps.rename(ctx, "shop", "store")
    assert ctx.engine.names() == ["store.web.1.v1.g0"]
    assert list(ctx.proxy.served) == ["store"]
    assert ctx.proxy.served["store"][0].domains == ("store.localhost",)
    with pytest.raises(NotFound):
        ctx.state.apps.get("shop")
    assert current_deployment(ctx, ctx.state.apps.get("store")) is not None


def test_a_destroyed_app_is_gone_whole_and_its_number_is_free(ctx, tree):
    deploy(ctx, tree)
    number = ctx.state.apps.get("shop").number
    apps.destroy(ctx, "shop")
    assert (ctx.engine.names(), ctx.proxy.served, ctx.state.apps.list()) == ([], {}, ())
    assert apps.create(ctx, "next").number == number


def test_logs_of_the_proxy_go_with_the_app(ctx, tree, tmp_path):
    ctx.proxy.logs = tmp_path / "logs"
    ctx.proxy.logs.mkdir()
    for name in ("shop-access.log", "shop-access.log.2.gz", "shop-error.log", "shop-two-access.log"):
        (ctx.proxy.logs / name).touch()
    deploy(ctx, tree)
    apps.rename(ctx, "shop", "store")
    left = sorted(file.name for file in ctx.proxy.logs.iterdir())
    assert left == ["shop-two-access.log", "store-access.log", "store-access.log.2.gz", "store-error.log"]
    apps.destroy(ctx, "store")
    assert [file.name for file in ctx.proxy.logs.iterdir()] == ["shop-two-access.log"]


def test_a_taken_name_is_refused(ctx):
    apps.create(ctx, "shop")
    with pytest.raises(Conflict, match="already taken"):
        apps.create(ctx, "shop")


def test_releases_left_pending_by_a_dead_command_are_closed_by_the_next(ctx, tree):
    deploy(ctx, tree)
    build = ctx.state.builds.start("shop", "alice", "git push", "dead", 0)
    ctx.state.releases.append(
        app="shop", build_id=build.id, image="i", processes=(), ports=(), config={}, formation={}, actor="alice", cause="dead",
        revision="dead", now=0,
    )  # fmt: skip
    deploy(ctx, tree, "next")
    assert ctx.state.releases.get("shop", 2).status is ReleaseStatus.FAILED
    assert ctx.state.builds.get(build.id).status is BuildStatus.ABANDONED


def deployment_of_a_second_release(ctx: Context, tree: Path) -> Deployment:
    app = ctx.state.apps.get("shop")
    deploy = ctx.state.builds.start("shop", "alice", "git push", "def", 0)
    built = build.build_source(ctx, app, Source(tree=tree, revision="def"), deploy)
    return deployment_for(ctx, app, release.create_release(ctx, app, built, cause="git push"))


def test_routes_are_brought_back_before_what_a_dead_command_switched_to_is_stopped(ctx, tree):
    deploy(ctx, tree)
    rollout.switch_to(ctx, deployment_of_a_second_release(ctx, tree))  # killed here: switched, and not recorded
    assert ctx.proxy.upstreams("shop") == ["10.0.0.2:5000"]
    assert Retirement().adopt(ctx, "shop")
    rollout.reconcile(ctx, "shop", only=())
    assert ctx.proxy.upstreams("shop") == ["10.0.0.1:5000"]


def test_routes_are_left_alone_when_what_retires_is_what_a_recorded_change_left(ctx, tree):
    deploy(ctx, tree)
    deploy(ctx, tree, "def")
    processes.restart(ctx, "shop")
    assert not Retirement().adopt(ctx, "shop")


def test_a_busy_app_is_retired_later(ctx, tree):
    deploy(ctx, tree)
    with app_turn(ctx, "shop", "git push"), pytest.raises(Conflict):
        Retirement().adopt(ctx, "shop")


def test_while_a_deploy_builds_the_app_is_looked_after_and_while_it_switches_it_is_not(ctx, tree):
    deploy(ctx, tree)
    ctx.engine.exit("c1", 1)
    with release_turn(ctx, "shop", "git push"):
        assert rollout.reconcile(ctx, "shop") == ()
        assert len(ctx.engine.names()) == 1
        Retirement().adopt(ctx, "shop")
        with container_turn(ctx, "shop", "git push"), pytest.raises(Conflict):
            rollout.reconcile(ctx, "shop")


def test_stopping_an_app_goes_on_when_the_supervisor_removes_a_container_meanwhile(ctx, tree, monkeypatch):
    deploy(ctx, tree)
    processes.scale(ctx, "shop", {"web": 2})
    stop = ctx.engine.stop

    def stop_what_is_there(container: str):
        if container == "c1":
            ctx.engine.remove(container)
            raise NotFound("There is no container 'c1'")
        return stop(container)

    monkeypatch.setattr(ctx.engine, "stop", stop_what_is_there)
    processes.stop(ctx, "shop")
    assert ctx.engine.list() == ()
    assert ctx.state.events.list("shop")[-1].event == "ps:stop"


def test_two_apps_that_take_each_others_names_do_not_wait_for_each_other_for_ever(ctx, tree, monkeypatch):
    taken: list[str] = []

    @contextlib.contextmanager
    def turn(_ctx: Context, app: str, _what: str):
        taken.append(app)
        yield

    monkeypatch.setattr(apps, "app_turn", turn)
    for old, new in (("a", "b"), ("b", "a")):
        apps.create(ctx, old)
        apps.rename(ctx, old, new)
        apps.destroy(ctx, new)
    assert taken == ["a", "b", "b", "a", "b", "a"]


def test_a_rename_that_cannot_be_recorded_leaves_repository_and_logs_where_they_were(ctx, tree, monkeypatch):
    deploy(ctx, tree)
    for path in (ctx.paths.repo("shop"), ctx.paths.app_logs("shop")):
        path.mkdir(parents=True)

    def refuse(old: str, new: str) -> None:
        raise HostProblem("The disk is full")

    monkeypatch.setattr(ctx.state.apps, "rename", refuse)
    with pytest.raises(HostProblem):
        apps.rename(ctx, "shop", "store")
    assert ctx.paths.repo("shop").is_dir()
    assert ctx.paths.app_logs("shop").is_dir()
    assert not ctx.paths.repo("store").exists()
    assert ctx.engine.names() == ["shop.web.1.v1.g0"]


def test_a_rollback_marks_what_it_left_together_with_the_switch(ctx, tree, monkeypatch):
    deploy(ctx, tree)
    deploy(ctx, tree, "def")

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout, "announce", killed)
    with pytest.raises(KeyboardInterrupt):
        rollback.roll_back(ctx, "shop")
    assert ctx.state.releases.get("shop", 2).status is ReleaseStatus.ROLLED_BACK


def test_what_a_killed_command_left_open_is_closed_unless_somebody_is_at_work(ctx, tree):
    deploy(ctx, tree)
    build = ctx.state.builds.start("shop", "alice", "git push", "dead", 0)
    with app_turn(ctx, "shop", "git push"):
        ledger.close_interrupted(ctx)
    assert ctx.state.builds.get(build.id).status is BuildStatus.RUNNING
    ledger.close_interrupted(ctx)
    assert ctx.state.builds.get(build.id).status is BuildStatus.ABANDONED
    assert ctx.state.releases.current("shop").version == 1
