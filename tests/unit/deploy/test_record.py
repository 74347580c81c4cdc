"""What is recorded of a deploy: the whole of it, whoever ends it and however."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from paas.deploy import apps, config, gc, ledger, processes, receive, retention, rollback, rollout
from paas.errors import Cancelled, Conflict, DeployFailed, HostProblem
from paas.model.release import BuildKind, BuildStatus, ReleaseStatus
from unit.deploy.conftest import take_live


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    return tmp_path / "tree"


def deploy(ctx, tree, revision="abc"):
    app = ctx.state.apps.find("shop") or apps.create(ctx, "shop")
    return take_live(ctx, app, tree, revision)


def log_of(ctx, number):
    found = next(build for build in ctx.state.builds.list("shop") if build.number == number)
    return ctx.paths.build_log(found.id).read_text()


def test_pushes_and_changes_and_rollbacks_are_in_the_record_with_their_release(ctx, tree):
    deploy(ctx, tree)
    config.set_config(ctx, "shop", {"A": "hunter2"})
    rollback.roll_back(ctx, "shop", 1)
    recorded = [(b.number, b.kind, b.status, b.cause, b.release) for b in ctx.state.builds.list("shop")]
    assert recorded == [
        (3, BuildKind.DEPLOY, BuildStatus.SUCCEEDED, "rollback to v1", 3),
        (2, BuildKind.DEPLOY, BuildStatus.SUCCEEDED, "config:set +A", 2),
        (1, BuildKind.BUILD, BuildStatus.SUCCEEDED, "git push", 1),
    ]
    assert "=====> Application deployed:" in log_of(ctx, 1)
    assert "Deploying shop v2" in log_of(ctx, 2)
    assert "hunter2" not in log_of(ctx, 2)


def test_a_build_whose_release_fails_has_failed_and_its_log_says_why(ctx, tree):
    apps.create(ctx, "shop")
    ctx.scheduler.failing = {"web"}
    with pytest.raises(DeployFailed):
        deploy(ctx, tree)
    build = ctx.state.builds.list("shop")[0]
    assert (build.status, build.image, build.release) == (BuildStatus.FAILED, "image-1", 1)
    assert log_of(ctx, 1).splitlines()[-2] == " !     web.1 did not start"


def test_one_who_cancels_is_named_to_the_one_who_pushed(ctx, tree, monkeypatch):
    apps.create(ctx, "shop")

    def cancel(*_arguments, **_options):
        ctx.state.builds.ask_to_cancel(ctx.state.builds.running("shop")[0].id, "bob")
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout, "switch_to", cancel)
    with pytest.raises(Cancelled, match="The deploy of shop was canceled by bob"):
        deploy(ctx, tree)
    build = ctx.state.builds.list("shop")[0]
    assert (build.status, build.canceled_by) == (BuildStatus.CANCELLED, "bob")
    assert ctx.state.releases.get("shop", 1).status is ReleaseStatus.FAILED
    assert "canceled by bob" in log_of(ctx, 1)


def test_a_deploy_that_ends_between_two_steps_leaves_no_release_pending(ctx, tree, monkeypatch):
    app = apps.create(ctx, "shop")

    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout, "go_live", interrupt)
    with pytest.raises(Cancelled):
        take_live(ctx, app, tree, "abc")
    assert [release.status for release in ctx.state.releases.list("shop")] == [ReleaseStatus.FAILED]


@pytest.mark.parametrize(
    ("interruption", "said", "by"),
    [(KeyboardInterrupt(), "was canceled by alice", "alice"), (KeyboardInterrupt("SIGTERM"), "was interrupted", "")],
)
def test_an_interrupted_deploy_is_one(ctx, tree, monkeypatch, interruption, said, by):
    """Ctrl-C and a hang-up are the user's own; SIGTERM may be the end of the server."""
    apps.create(ctx, "shop")

    def interrupt(*_arguments, **_options):
        raise interruption

    monkeypatch.setattr(rollout, "switch_to", interrupt)
    with pytest.raises(Cancelled, match=f"The deploy of shop {said}"):
        deploy(ctx, tree)
    build = ctx.state.builds.list("shop")[0]
    assert (build.status, build.canceled_by) == (BuildStatus.CANCELLED, by)


def test_what_comes_when_the_release_is_live_does_not_make_it_a_failure(ctx, tree, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout.hooks, "run_hook", interrupt)
    app = ctx.state.apps.create("shop", 0)
    live = take_live(ctx, app, tree, "abc")
    assert live.status is ReleaseStatus.CURRENT
    assert ctx.state.builds.list("shop")[0].status is BuildStatus.SUCCEEDED
    assert "Interrupted; v1 is live all the same" in log_of(ctx, 1)


def test_a_full_disk_does_not_hide_what_failed_first(ctx, tree, monkeypatch):
    apps.create(ctx, "shop")
    ctx.scheduler.failing = {"web"}

    def refuse(*_arguments, **_options):
        raise HostProblem("The disk is full")

    monkeypatch.setattr(ctx.state.builds, "finish", refuse)
    monkeypatch.setattr(ctx.state.releases, "mark", refuse)
    with pytest.raises(DeployFailed):
        deploy(ctx, tree)
    monkeypatch.undo()
    ledger.close_interrupted(ctx)
    assert ctx.state.builds.list("shop")[0].status is BuildStatus.ABANDONED
    assert ctx.state.releases.get("shop", 1).status is ReleaseStatus.FAILED


def test_the_oldest_records_go_with_their_logs(ctx, tree):
    deploy(ctx, tree)
    ctx.state.properties.set("shop", "builds", "retention", "2")
    first = ctx.state.builds.list("shop")[0]
    deploy(ctx, tree)
    assert ctx.paths.build_log(first.id).exists()
    deploy(ctx, tree)
    assert not ctx.paths.build_log(first.id).exists()
    assert [build.number for build in ctx.state.builds.list("shop")] == [3, 2, 1]  # a kept release was made of it
    ctx.state.properties.set("shop", "releases", "keep", "1")
    ctx.state.properties.set("shop", "builds", "retention", "")
    ctx.state.properties.set("", "builds", "retention", "1")
    assert retention.prune_deploys(ctx, "shop") == 2
    assert [build.number for build in ctx.state.builds.list("shop")] == [3]
    assert retention.prune_deploys(ctx, "shop") == 0


def test_images_are_kept_for_as_many_releases_as_asked_and_for_what_is_under_way(ctx, tree):
    for number in range(1, 5):
        ctx.builders[0].result = replace(ctx.builders[0].result, image=f"image-{number}")
        deploy(ctx, tree)
    assert gc.kept_images(ctx) == {"image-1", "image-2", "image-3", "image-4"}
    ctx.state.properties.set("shop", "releases", "keep", "2")
    assert gc.kept_images(ctx) == {"image-3", "image-4"}
    under_way = ctx.state.builds.start("shop", "alice", "git push", "x", 1.0)
    ctx.state.builds.note_image(under_way.id, replace(ctx.builders[0].result, image="image-5"))
    assert gc.kept_images(ctx) == {"image-3", "image-4", "image-5"}


def test_a_rollback_to_what_was_collected_says_how_many_are_kept(ctx, tree):
    deploy(ctx, tree)
    ctx.builders[0].result = replace(ctx.builders[0].result, image="image-2")
    deploy(ctx, tree)
    ctx.engine.lost_images = {"image-1"}
    with pytest.raises(Conflict, match="The image of v1 of shop is gone: the newest 10 releases keep theirs"):
        rollback.roll_back(ctx, "shop", 1)
    assert len(ctx.state.releases.list("shop")) == 2


def test_a_rollback_to_a_release_that_failed_is_refused(ctx, tree):
    deploy(ctx, tree)
    ctx.scheduler.failing = {"web"}
    with pytest.raises(DeployFailed):
        deploy(ctx, tree)
    with pytest.raises(Conflict, match="v2 of shop never served: it failed"):
        rollback.roll_back(ctx, "shop", 2)


def test_a_rollback_that_fails_leaves_release_and_config(ctx, tree):
    deploy(ctx, tree)
    config.set_config(ctx, "shop", {"A": "1"})
    ctx.scheduler.failing = {"web"}
    with pytest.raises(DeployFailed):
        rollback.roll_back(ctx, "shop", 1)
    assert ctx.state.config.get("shop") == {"A": "1"}
    assert [(r.version, r.status) for r in ctx.state.releases.list("shop")] == [
        (3, ReleaseStatus.FAILED), (2, ReleaseStatus.CURRENT), (1, ReleaseStatus.SUPERSEDED),
    ]  # fmt: skip


def test_a_lock_blocks_every_deploy_and_nothing_else(ctx, tree):
    deploy(ctx, tree)
    deploy(ctx, tree)
    apps.set_locked(ctx, "shop", True)
    for attempt in (
        lambda: receive.rebuild(ctx, "shop"),
        lambda: rollback.roll_back(ctx, "shop"),
        lambda: config.set_config(ctx, "shop", {"A": "1"}),
        lambda: config.unset_config(ctx, "shop", ["A"]) if config.set_config(ctx, "shop", {"A": "1"}, restart=False) else None,
    ):
        with pytest.raises(Conflict, match="Deploys of shop are locked"):
            attempt()
    assert ctx.state.config.get("shop") == {"A": "1"}  # without a restart it is no deploy
    processes.restart(ctx, "shop")
    assert ctx.state.releases.current("shop").config == {}
    assert ctx.state.releases.current("shop").version == 2
    apps.set_locked(ctx, "shop", False)
    assert rollback.roll_back(ctx, "shop").version == 3


def test_what_was_set_without_a_restart_goes_live_when_it_is_set_again(ctx, tree):
    deploy(ctx, tree)
    assert config.set_config(ctx, "shop", {"A": "1", "B": "1"}, restart=False) is config.Outcome.RECORDED
    assert config.set_config(ctx, "shop", {"A": "1"}, restart=False) is config.Outcome.UNCHANGED
    assert config.set_config(ctx, "shop", {"A": "1"}) is config.Outcome.LIVE
    assert ctx.state.releases.current("shop").config == {"A": "1", "B": "1"}
    assert config.set_config(ctx, "shop", {"A": "1"}) is config.Outcome.UNCHANGED


def test_replacing_the_config_is_one_release(ctx, tree):
    deploy(ctx, tree)
    config.set_config(ctx, "shop", {"A": "1", "B": "2"})
    assert config.replace_config(ctx, "shop", {"B": "3", "C": "4"}) is config.Outcome.LIVE
    release = ctx.state.releases.current("shop")
    assert (release.version, release.config, release.diff) == (3, {"B": "3", "C": "4"}, ("-A", "~B", "+C"))
    assert config.replace_config(ctx, "shop", {"B": "3", "C": "4"}) is config.Outcome.UNCHANGED


def test_two_changes_at_once_both_count(ctx, tree):
    deploy(ctx, tree)
    threads = [threading.Thread(target=config.set_config, args=(ctx, "shop", {key: "1"})) for key in "ABC"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ctx.state.config.get("shop") == ctx.state.releases.current("shop").config == {"A": "1", "B": "1", "C": "1"}
    assert ctx.state.releases.current("shop").version == 4


def test_global_vars_say_whether_anything_changed(ctx):
    assert config.set_global(ctx, {"A": "1"}) is config.Outcome.RECORDED
    assert config.set_global(ctx, {"A": "1"}) is config.Outcome.UNCHANGED
    assert config.unset_global(ctx, ["B"]) is config.Outcome.UNCHANGED
    assert config.replace_global(ctx, {}) is config.Outcome.RECORDED
    assert [(e.event, e.detail) for e in ctx.state.events.list()] == [("config:set", "+A"), ("config:import", "-A")]
