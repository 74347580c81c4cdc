"""`resource:*` on an app that runs: a change is a release, and what fails its checks is not recorded."""

from __future__ import annotations

import json

import pytest


def limits(deployed) -> dict[str, str]:
    return dict(deployed.ctx.state.releases.current("shop").properties)


def test_a_limit_is_a_release_of_its_own(deployed):
    assert deployed("resource:limit", "--memory", "1g", "--cpu", "0.5", "shop") == 0
    release = deployed.ctx.state.releases.current("shop")
    assert (release.version, release.cause) == (2, "resource:limit cpu=0.5 memory=1024")
    assert limits(deployed) == {"resource.limit.cpu": "0.5", "resource.limit.memory": "1024"}
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g0", "shop.web.1.v2.g0"]
    assert deployed("resource:limit", "--memory", "1024m", "shop") == 0
    assert "Nothing to change" in deployed.out.getvalue()
    assert deployed.ctx.state.releases.current("shop").version == 2


def test_a_limit_under_which_the_app_does_not_start_is_not_kept(deployed):
    deployed.ctx.scheduler.failing = {"web"}
    assert deployed("resource:limit", "--memory", "5", "--process-type", "web", "shop") == 60
    assert deployed.ctx.state.properties.get("shop", "resource") == {}
    assert limits(deployed) == {}
    assert deployed.ctx.engine.names() == ["shop.web.1.v1.g0"]


def test_types_and_builds_have_limits_of_their_own(deployed, capsys):
    assert deployed("resource:limit", "shop", "--process-type", "worker", "--memory", "64") == 0
    assert deployed("resource:limit", "shop", "--process-type", "build", "--memory", "300") == 0
    assert deployed.ctx.state.releases.current("shop").version == 2  # a build's limits concern no container that runs
    assert deployed("resource:limit", "shop", "--process-type", "wrokers", "--memory", "64") == 1
    assert "it has: web, worker, build, run" in capsys.readouterr().err
    assert deployed("resource:report", "shop", "--format", "json") == 0
    assert json.loads(deployed.out.getvalue()) == {
        "resource-build.limit.memory": "300", "resource-worker.limit.memory": "64",
    }  # fmt: skip
    assert deployed("resource:limit", "shop", "--process-type", "worker") == 0
    assert "       memory: 64\n" in deployed.out.getvalue()


def test_without_a_restart_a_limit_waits_for_the_next_release(deployed):
    assert deployed("resource:limit", "--no-restart", "--memory", "64", "shop") == 0
    assert deployed.ctx.state.releases.current("shop").version == 1
    assert deployed("resource:report", "shop", "--resource-_default_.limit.memory") == 0
    assert deployed.out.getvalue() == "64 (with the next release)\n"
    assert deployed("config:set", "shop", "B=1") == 0
    assert limits(deployed) == {"resource.limit.memory": "64"}


def test_limits_are_cleared(deployed):
    assert deployed("resource:limit", "--memory", "64", "shop") == 0
    assert deployed("resource:reserve", "--memory", "32", "shop") == 0
    assert deployed("resource:limit", "--memory", "128", "--process-type", "web", "shop") == 0
    assert deployed("resource:limit-clear", "--process-type", "web", "shop") == 0
    assert limits(deployed) == {"resource.limit.memory": "64", "resource.reserve.memory": "32"}
    assert deployed("resource:limit-clear", "shop") == 0
    assert deployed("resource:reserve-clear", "shop") == 0
    assert limits(deployed) == {}
    assert deployed("resource:reserve-clear", "shop") == 0
    assert "Nothing to change: no reservations of shop" in deployed.out.getvalue()
    assert deployed("resource:limit", "shop", "--format", "json") == 0
    assert json.loads(deployed.out.getvalue()) == {"cpu": "", "memory": "", "memory-swap": "", "pids": ""}


def test_a_limit_of_all_apps_is_theirs_from_the_next_release(deployed):
    assert deployed("resource:limit", "--global", "--memory", "64") == 0
    assert deployed.ctx.state.releases.current("shop").version == 1
    assert deployed("resource:limit", "--cpu", "1", "shop") == 0
    assert limits(deployed) == {"resource.limit.memory": "64", "resource.limit.cpu": "1"}


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("shop", "--memory", "lots"), 1), (("--memory", "64"), 2), (("shop", "--global", "--memory", "64"), 2), (("nope",), 20),
        (("shop", "--memory", "64", "--memory-swap", "32"), 1), (("shop", "--memory-swap", "32"), 1), (("shop", "--gpu", "1"), 2),
    ],
)  # fmt: skip
def test_what_cannot_be_changes_nothing(deployed, argv, code):
    assert deployed("resource:limit", *argv) == code
    assert deployed.ctx.state.properties.get("shop", "resource") == {}
    assert deployed.ctx.state.releases.current("shop").version == 1
