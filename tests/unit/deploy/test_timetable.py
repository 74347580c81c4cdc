"""The supervisor's timetable: what it claims when, across restarts, deploys, suspensions and clocks that are set."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from paas.context import Context
from paas.deploy import apps, cron, rollout, tasks
from paas.errors import HostProblem
from paas.model.container import KIND_CRON, LABEL_KIND
from paas.model.cron import CronStatus
from paas.serve.cron import MAX_WORKERS, RETRY_S, Timetable
from unit.deploy.conftest import take_live

START = 1_800_000_000.0  # divisible by 60


@dataclass
class InlineWorkers:
    """Does the work at once, in this process; with `is_stuck` never."""

    is_stuck: bool = False
    stuck: list[str] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return name in self.stuck

    def __len__(self) -> int:
        return len(self.stuck)

    def start(self, name: str, work: Callable[[], int], on_end: Callable[[int], None]) -> None:
        if self.is_stuck:
            self.stuck.append(name)
        else:
            on_end(work())


@dataclass
class World:
    """An instance whose clock we hold."""

    ctx: Context
    clock: list[float]
    workers: InlineWorkers = field(default_factory=InlineWorkers)
    timetable: Timetable = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.timetable = Timetable(self.ctx, None, self.workers)
        self.refresh()

    def refresh(self) -> None:
        self.timetable.refresh(self.ctx.engine.list())
        os.utime(self.ctx.paths.cron_seen, (self.clock[0], self.clock[0]))

    def glance(self) -> None:
        os.utime(self.ctx.state.db.file.with_name("paas.db-wal"))  # the test writes faster than the clock of files goes
        self.timetable.glance()

    def go_to(self, second: float) -> None:
        """Let the clock go on, and do what the supervisor does on the way."""
        while (due := max(self.timetable.due_at, self.clock[0])) <= START + second:
            self.clock[0] = due
            self.timetable.step()
        self.clock[0] = START + second

    def runs(self) -> list[tuple[float, str]]:
        """Return the moments of all runs, in seconds since the start, with their status, oldest first."""
        return [(run.moment - START, str(run.status)) for run in reversed(self.ctx.state.cron.runs("shop"))]


@pytest.fixture
def world(ctx: Context) -> World:
    clock = [START]
    made = World(replace(ctx, now=lambda: clock[0]), clock)
    apps.create(made.ctx, "shop")
    return made


@pytest.fixture
def deploy(world: World, tmp_path: Path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code").write_text("x")

    def deploy_with(*schedules: str, policy: str = "allow") -> None:
        tasks = [{"command": f"run {n}", "schedule": text, "concurrency_policy": policy} for n, text in enumerate(schedules)]
        (tree / "app.json").write_text(json.dumps({"cron": tasks}))
        app = world.ctx.state.apps.get("shop")
        live = take_live(world.ctx, app, tree, "abc")
        rollout.follow_up(world.ctx, app, live)
        world.refresh()

    return deploy_with


def test_each_moment_is_run_once_and_a_deploy_moves_nothing(world, deploy):
    deploy("* * * * *")
    world.go_to(130)
    deploy("* * * * *", "@every 45s")
    world.go_to(185)
    world.refresh()
    world.go_to(190)
    assert world.runs() == [(60, "running"), (120, "running"), (135, "running"), (180, "running"), (180, "running")]


def test_without_tasks_there_is_nothing_to_do(world, deploy):
    deploy()
    assert world.timetable.due_at == math.inf


def test_a_restart_runs_nothing_twice_and_what_was_due_meanwhile_soon_after(world, deploy):
    deploy("* * * * *")
    world.go_to(60)
    world.restart()
    world.go_to(70)
    assert world.runs() == [(60, "running")]
    world.clock[0] = START + 125
    world.restart()
    world.go_to(130)
    assert world.runs() == [(60, "running"), (120, "running")]


def test_what_was_missed_while_the_server_was_down_is_reported_and_not_run(world, deploy):
    deploy("*/10 * * * *")
    world.go_to(600)
    world.refresh()
    world.clock[0] = START + 2500
    world.restart()
    world.go_to(2999)
    assert world.runs() == [(600, "running"), (2400, "missed")]
    assert world.ctx.state.cron.runs("shop")[0].detail == "3 runs missed: the server did not run"
    world.restart()
    world.go_to(3000)
    assert world.runs()[2:] == [(3000, "running")]


def test_a_suspended_task_neither_runs_nor_is_missed(world, deploy):
    deploy("* * * * *")
    world.go_to(60)
    cron.set_suspended(world.ctx, "shop", "", True)
    world.glance()
    world.go_to(600)
    cron.set_suspended(world.ctx, "shop", "", False)
    world.glance()
    world.go_to(660)
    assert world.runs() == [(60, "running"), (660, "running")]


def test_a_clock_that_is_set_back_runs_nothing_again_and_one_that_was_far_ahead_blocks_nothing(world, deploy):
    deploy("* * * * *")
    world.go_to(120)
    world.clock[0] = START + 50
    world.refresh()
    world.go_to(125)
    assert world.runs() == [(60, "running"), (120, "running")]
    world.clock[0] = START + 10_000_000
    world.timetable.step()
    world.clock[0] = START + 130
    world.refresh()
    world.go_to(180)
    world.restart()
    world.go_to(240)
    found = [run for run in world.runs() if run[1] != "timed-out"]  # the first two, by the wrong clock
    assert found == [(9_999_900, "missed"), (9_999_960, "running"), (180, "running"), (240, "running")]


def test_another_time_zone_holds_from_then_on(world, deploy):
    deploy("0 12 * * *")  # the start is at 08:00 UTC
    world.ctx.state.properties.set("shop", "cron", "timezone", "UTC")
    world.refresh()
    assert world.timetable.due_at == START + 4 * 3600
    world.ctx.state.properties.set("shop", "cron", "timezone", "Asia/Tokyo")
    world.refresh()
    assert world.timetable.due_at == START + (24 - 5) * 3600
    assert world.runs() == []


def test_a_run_that_takes_too_long_is_stopped(world, deploy):
    deploy("@every 1h")
    world.ctx.state.properties.set("shop", "cron", "ttl-seconds", "100")
    world.go_to(3600)
    moment = world.runs()[0][0]
    world.refresh()
    world.go_to(moment + 99)
    assert world.runs() == [(moment, "running")]
    world.go_to(moment + 100)
    assert world.runs() == [(moment, "timed-out")]
    assert world.ctx.engine.list({LABEL_KIND: KIND_CRON}) == ()


def test_what_was_claimed_before_a_crash_is_begun_after_it(world, deploy):
    deploy("* * * * *")
    world.workers.is_stuck = True
    world.go_to(60)
    assert world.runs() == [(60, "queued")]
    world.workers.is_stuck, world.workers.stuck = False, []
    world.clock[0] = START + 70
    world.restart()
    world.go_to(71)
    assert world.runs() == [(60, "running")]


def test_many_tasks_of_one_minute_wait_for_each_other(world, deploy):
    deploy(*["* * * * *"] * (MAX_WORKERS + 3))
    world.workers.is_stuck = True
    world.clock[0] = START + 60
    world.timetable.step()
    assert len(world.workers.stuck) == MAX_WORKERS
    assert world.timetable.due_at > START + 60
    world.workers.is_stuck, world.workers.stuck = False, []
    world.go_to(61)
    assert [status for _, status in world.runs()].count("running") == 3


def test_a_failure_of_the_database_is_tried_again_a_little_later(world, deploy, monkeypatch):
    deploy("* * * * *")
    world.clock[0] = START + 60
    with monkeypatch.context() as patched, pytest.raises(HostProblem):
        patched.setattr(world.ctx.state.cron, "claim", lambda *_args, **_more: (_ for _ in ()).throw(HostProblem("full")))
        world.timetable.step()
    assert world.timetable.due_at == START + 60 + RETRY_S
    world.go_to(63)
    assert world.runs() == [(60, "running")]


def test_a_run_that_a_command_began_is_watched_from_then_on(world, deploy):
    deploy("@every 1h")
    world.ctx.state.properties.set("shop", "cron", "ttl-seconds", "30")
    run = cron.run_now(world.ctx, "shop", cron.tasks_of(world.ctx, "shop")[0].id)
    world.glance()
    world.go_to(29)
    assert world.ctx.state.cron.run(run.id).status is CronStatus.RUNNING
    world.go_to(30)
    assert world.ctx.state.cron.run(run.id).status is CronStatus.TIMED_OUT


def test_a_command_in_the_background_ends_in_time(world, deploy):
    deploy()
    container = tasks.run_detached(world.ctx, "shop", ["sleep"], ttl_s=30)
    world.glance()
    assert world.timetable.due_at == START + 30
    world.go_to(30)
    assert world.ctx.engine.inspect(container.id).exit_code == 143
    assert world.timetable.due_at == math.inf


def test_a_command_that_changed_nothing_costs_no_query(world, deploy, monkeypatch):
    deploy("* * * * *")
    world.timetable.glance()
    monkeypatch.setattr(world.ctx.state.db, "rows", None)
    world.timetable.glance()


def test_an_app_that_went_takes_its_tasks_along(world, deploy):
    deploy("* * * * *")
    world.ctx.state.apps.destroy("shop")
    world.go_to(60)
    world.refresh()
    assert world.timetable.due_at == math.inf


def test_an_end_that_nobody_saw_is_found_at_the_next_look(world, deploy):
    deploy("@every 1h")
    world.go_to(3600)
    run = world.ctx.state.cron.runs("shop")[0]
    world.ctx.engine.exit(f"shop.cron.{run.id}", 0)
    world.refresh()
    world.timetable.step()
    assert world.ctx.state.cron.run(run.id).status is CronStatus.SUCCEEDED
