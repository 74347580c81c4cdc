"""Liveness and readiness while a process runs: what follows from outcomes, and what it leaves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from paas.deploy import apps, health, processes, rollout
from paas.deploy.health import Health, Verdict, judge
from paas.deploy.queue import app_turn
from paas.errors import Conflict
from paas.model.healthcheck import Healthcheck, HealthcheckKind, HealthcheckType
from paas.model.process import ProcessType
from paas.model.release import BuildResult
from paas.schedulers import CheckResult
from paas.serve.checks import CheckLoop, watched_apps
from paas.state import State
from unit.deploy.conftest import take_live

LIVENESS = Healthcheck(kind=HealthcheckKind.PATH, type=HealthcheckType.LIVENESS, attempts=2)
READINESS = Healthcheck(kind=HealthcheckKind.PATH, type=HealthcheckType.READINESS, attempts=2)


def verdicts(check: Healthcheck, outcomes: str) -> list[str]:
    """Judge outcomes, `+` for passed and `-` for failed."""
    found, state = [], Health()
    for outcome in outcomes:
        state, verdict = judge(check, state, is_passed=outcome == "+")
        found.append(verdict.value)
    return found


def test_a_hung_process_is_replaced_after_its_attempts_in_a_row() -> None:
    assert verdicts(LIVENESS, "+-+--") == ["nothing"] * 4 + ["replace"]


def test_a_process_that_is_not_ready_is_taken_out_once_and_put_back() -> None:
    assert verdicts(READINESS, "----+-") == ["nothing", "take out", "nothing", "nothing", "put back", "nothing"]


def test_a_check_that_only_warns_changes_nothing() -> None:
    assert set(verdicts(replace(LIVENESS, is_warning=True), "------")) == {"nothing"}


@pytest.fixture
def shop(ctx, tmp_path):
    """The app shop with two web processes that have a liveness and a readiness check."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code").write_text("x")
    checks = [{"type": kind, "path": "/", "attempts": 1, "wait": 1} for kind in ("liveness", "readiness")]
    (tree / "app.json").write_text(json.dumps({"healthchecks": {"web": checks}, "formation": {"web": {"quantity": 2}}}))
    ctx.builders[0].result = BuildResult(image="i", processes=(ProcessType(name="web", command="w"),))
    take_live(ctx, apps.create(ctx, "shop"), tree, "abc")
    return ctx


def test_requests_go_round_a_process_that_is_not_ready(shop) -> None:
    first, second = shop.engine.list()
    health.carry_out(shop, "shop", first, Verdict.TAKE_OUT, "answered 503")
    assert shop.proxy.upstreams("shop") == [f"{second.address}:5000"]
    processes.restore(shop, "shop")  # whatever else looks at the app leaves it out
    assert shop.proxy.upstreams("shop") == [f"{second.address}:5000"]
    health.carry_out(shop, "shop", first, Verdict.PUT_BACK, "")
    assert len(shop.proxy.upstreams("shop")) == 2
    said = [event.detail for event in shop.state.events.list("shop")]
    assert "web.1 is not ready and gets no requests: answered 503" in said


def test_a_hung_process_is_told_to_stop_and_missing_from_then_on(shop) -> None:
    first, second = shop.engine.list()
    health.carry_out(shop, "shop", first, Verdict.REPLACE, "")
    assert shop.scheduler.told == {first.id}
    assert shop.proxy.upstreams("shop") == [f"{second.address}:5000"]
    shop.engine.exit(first.id, 0)  # it stopped politely, but not by itself: its restart policy takes it for a failure
    (gone,) = rollout.missing(shop, shop.state.apps.get("shop"))
    assert (str(gone.process), gone.exit_code) == ("web.1", None)


def test_what_was_replaced_meanwhile_is_left_alone(shop) -> None:
    first, _ = shop.engine.list()
    processes.restart(shop, "shop")
    health.carry_out(shop, "shop", first, Verdict.REPLACE, "")
    assert shop.scheduler.told == set()


def test_nothing_is_judged_while_a_command_works_on_the_app(shop) -> None:
    with app_turn(shop, "shop", "a deploy"):
        with pytest.raises(Conflict):
            health.serving_in_turn(shop, "shop")
        with pytest.raises(Conflict):
            health.carry_out(shop, "shop", shop.engine.list()[0], Verdict.REPLACE, "")


def test_only_apps_with_such_checks_are_watched(shop) -> None:
    apps.create(shop, "plain")
    assert list(watched_apps(shop)) == ["shop"]
    shop.state.properties.set("shop", "checks", "skipped", "web")
    assert watched_apps(shop) == {}
    shop.state.properties.set("shop", "checks", "skipped", "worker")
    processes.stop(shop, "shop")
    assert watched_apps(shop) == {}


class Stage(CheckLoop):
    """A check loop in time that passes only between looks; `play` lets so many seconds pass."""

    def __init__(self, ctx) -> None:
        self.at = 1000.0
        self.replaced = 0
        own = State(ctx.paths.database)  # as in a process of its own
        super().__init__(replace(ctx, state=own, now=lambda: self.at), on_replaced=self._count)

    def _count(self) -> None:
        self.replaced += 1

    def play(self, seconds: int) -> None:
        for _ in range(seconds):
            self.at += 1
            self._refresh(self.at)
            for target in self.take_due(self.at):
                self._try(target)
            self._take_results(0)


def test_the_loop_finds_a_process_that_hangs_and_tells_the_supervisor(shop) -> None:
    stage = Stage(shop)
    stage.play(5)
    assert (shop.scheduler.told, stage.replaced) == (set(), 0)
    shop.scheduler.results["web.2"] = CheckResult(problem="was not answered")
    stage.play(3)
    assert shop.scheduler.told == {shop.engine.list()[1].id}
    assert stage.replaced == 1
    stage.play(5)
    assert stage.replaced == 1


def test_what_a_check_wants_done_is_done_once_for_each_failure(shop) -> None:
    stage = Stage(shop)
    shop.scheduler.results["web.2"] = CheckResult(problem="was not answered")
    with app_turn(shop, "shop", "a deploy"):  # nothing can be carried out meanwhile, and is tried again
        stage.play(1)
    stage.play(1)
    before = list(shop.scheduler.acted)
    with app_turn(shop, "shop", "a deploy"):
        stage.play(9)
    assert before == []
    assert shop.scheduler.acted == [("web.2", "was not answered")] * 2  # the liveness and the readiness check, each once
    assert "acted for web.2" in [event.detail for event in shop.state.events.list("shop")]
    assert shop.scheduler.told == set()


def test_the_loop_takes_up_new_processes_and_changed_checks(shop) -> None:
    stage = Stage(shop)
    stage.play(2)
    processes.restart(shop, "shop")
    shop.scheduler.results["web.1"] = CheckResult(problem="was not answered")
    stage.play(4)
    assert len(shop.scheduler.told) == 1
    assert shop.scheduler.told.isdisjoint({"c1", "c2"})
    shop.state.properties.set("shop", "checks", "disabled", "_all_")
    stage.play(1)
    assert not stage._targets
