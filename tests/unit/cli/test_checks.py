"""`checks:*`: which process types are checked, and what checks find now."""

from __future__ import annotations

import json
import sys

import pytest

from paas.deploy import rollout
from paas.schedulers import CheckResult


def lists(deployed) -> tuple[str, str]:
    assert deployed("checks:report", "shop", "--format", "json") == 0
    report = json.loads(deployed.out.getvalue())
    return report["checks-disabled-list"], report["checks-skipped-list"]


def test_types_go_from_one_list_to_the_other(deployed):
    assert lists(deployed) == ("none", "none")
    assert deployed("checks:disable", "shop", "worker") == 0
    assert lists(deployed) == ("worker", "none")
    assert deployed("checks:skip", "shop") == 0
    assert lists(deployed) == ("none", "_all_")
    assert deployed("checks:disable", "shop", "web") == 0
    assert lists(deployed) == ("web", "worker")
    assert deployed("checks:enable", "shop", "web") == 0
    assert lists(deployed) == ("none", "worker")
    assert deployed("checks:enable", "shop") == 0
    assert lists(deployed) == ("none", "none")


@pytest.mark.parametrize("argv", [("shop", "wrokers"), ("shop", "web.1"), ("nope",)])
def test_a_type_that_is_not_there_is_refused(deployed, argv):
    assert deployed("checks:disable", *argv) in (1, 20)
    assert lists(deployed) == ("none", "none")


def test_old_processes_stop_first_where_checks_are_disabled(deployed):
    assert deployed("checks:disable", "shop", "web") == 0
    assert deployed("ps:restart", "shop") == 0
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g1"]  # no supervisor has come by: it was stopped before
    assert "Stopping web.1 first: checks are disabled" in deployed.out.getvalue()


def test_they_are_started_again_when_the_new_ones_fail(deployed):
    assert deployed("ps:scale", "shop", "worker=1") == 0
    assert deployed("checks:disable", "shop", "web") == 0
    deployed.ctx.scheduler.failing = {"worker"}
    assert deployed("config:set", "shop", "B=1") == 60
    assert sorted(deployed.ctx.engine.names()) == ["shop.web.1.v1.g0", "shop.worker.1.v1.g0"]
    assert len(deployed.ctx.proxy.upstreams("shop")) == 1
    assert deployed.ctx.state.releases.current("shop").version == 1


def test_checks_are_made_now(deployed):
    assert deployed("checks:run", "shop") == 0
    assert deployed.out.getvalue() == (
        "-----> Running checks for shop\n       web.1 startup listening: ok\n-----> All checks successful\n"
    )
    deployed.ctx.scheduler.results["web.1"] = CheckResult(problem="nobody listens on port 5000")
    assert deployed("checks:run", "shop", "web.1") == 60
    assert "       web.1 startup listening: nobody listens on port 5000\n" in deployed.out.getvalue()
    assert "web.1 of shop failed checks" in deployed.err.getvalue()
    assert deployed("checks:run", "shop", "worker") == 1
    assert "No such process of shop runs" in deployed.err.getvalue()


def test_who_is_not_ready_is_reported_and_put_back_when_checks_go(deployed):
    release = deployed.ctx.state.releases.current("shop")
    text = json.dumps({"healthchecks": {"web": [{"type": "readiness", "path": "/"}]}})
    deployed.ctx.state.db.change("UPDATE releases SET app_json = ? WHERE version = ?", (text, release.version))
    deployed.ctx.scheduler.out.add("c1")
    assert deployed("checks:report", "shop", "--checks-not-ready") == 0
    assert deployed.out.getvalue() == "web.1\n"
    assert deployed("checks:skip", "shop") == 0
    assert deployed.ctx.scheduler.out == set()
    assert len(deployed.ctx.proxy.upstreams("shop")) == 1


def test_what_was_stopped_first_is_known_until_it_is_started_again(deployed, monkeypatch):
    ctx = deployed.ctx
    app = ctx.state.apps.get("shop")
    assert deployed("checks:disable", "shop", "web") == 0
    with monkeypatch.context() as killed:  # in the middle: nothing is brought back
        killed.setattr(rollout, "_switch_to", lambda *_: sys.exit(9))
        killed.setattr(rollout, "_bring_back", lambda *_: None)
        pytest.raises(SystemExit, deployed, "ps:restart", "shop")
    assert [(str(m.process), m.was_stopped_first) for m in rollout.missing(ctx, app)] == [("web.1", True)]
    assert rollout.reconcile(ctx, "shop") == ()
    assert rollout.missing(ctx, app) == ()
    ctx.engine.exit(ctx.engine.list()[-1].id, 0)
    assert [m.was_stopped_first for m in rollout.missing(ctx, app)] == [False]
    assert deployed("ps:restart", "shop") == 0
    ctx.engine.exit(ctx.engine.list()[-1].id, 0)
    assert [m.was_stopped_first for m in rollout.missing(ctx, app)] == [False]  # another generation now
