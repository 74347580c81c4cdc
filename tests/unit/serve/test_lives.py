"""What the supervisor concludes from what it sees."""

from __future__ import annotations

import math

from paas.deploy.rollout import Missing
from paas.model.app import App
from paas.model.container import LABEL_INDEX, LABEL_TYPE, PLATFORM, Container, ContainerStatus
from paas.model.process import ProcessId, ProcessType
from paas.model.release import Release, ReleaseStatus
from paas.model.restart import parse_restart_policy
from paas.schedulers import Deployment
from paas.serve.lives import Lives

POLICY = parse_restart_policy("on-failure:10")
WEB1, WORKER1 = ProcessId(type="web", index=1), ProcessId(type="worker", index=1)


def deployment(*, version: int = 1, generation: int = 0) -> Deployment:
    processes = (ProcessType(name="web", command="web"), ProcessType(name="worker", command="work"))
    release = Release(
        app="shop", version=version, build_id=1, image="sha256:0", processes=processes, ports=(), config={}, formation={},
        status=ReleaseStatus.CURRENT, actor="", cause="", created_at=0.0,
    )  # fmt: skip
    app = App(name="shop", number=1, created_at=0.0)
    return Deployment(app=app, release=release, formation={"web": 1, "worker": 1}, generations={"web": generation})


def container(process: ProcessId, *, started_at: float) -> Container:
    return Container(
        id="c", name="", image="", tenant=PLATFORM, argv=(), status=ContainerStatus.RUNNING, created_at=started_at,
        started_at=started_at, labels={LABEL_TYPE: process.type, LABEL_INDEX: str(process.index)},
    )  # fmt: skip


def gone(process: ProcessId, exit_code: int | None = None) -> Missing:
    return Missing(process=process, exit_code=exit_code)


def test_what_never_ran_is_due_at_once() -> None:
    lives, missing = Lives(), (gone(WEB1), gone(WORKER1))
    assert lives.observe(deployment(), (), missing, 100.0) == ()
    assert lives.due(POLICY, missing, 100.0) == (frozenset({WEB1, WORKER1}), math.inf)


def test_an_end_is_reported_once_and_waits_its_turn() -> None:
    lives = Lives()
    lives.observe(deployment(), [container(WEB1, started_at=95.0)], [gone(WORKER1)], 99.0)
    crashed = (gone(WEB1, 1),)
    assert lives.observe(deployment(), (), crashed, 100.0) == (WEB1,)
    assert lives.observe(deployment(), (), crashed, 100.5) == ()
    assert lives.due(POLICY, crashed, 100.5) == (frozenset(), 101.0)
    assert lives.due(POLICY, crashed, 101.0) == (frozenset({WEB1}), math.inf)


def test_what_a_command_stopped_first_is_due_at_once_and_has_not_ended() -> None:
    lives, never = Lives(), parse_restart_policy("no")
    lives.observe(deployment(), [container(WEB1, started_at=0.0)], (), 1.0)
    stopped = (Missing(process=WEB1, exit_code=143, was_stopped_first=True),)
    assert lives.observe(deployment(), (), stopped, 2.0) == ()
    assert lives.due(never, stopped, 2.0) == (frozenset({WEB1}), math.inf)
    lives.note_start([WEB1], 2.0)
    failed = (gone(WEB1, 1),)  # from here on it is like any other
    assert lives.observe(deployment(), (), failed, 3.0) == (WEB1,)
    assert lives.due(never, failed, 3.0) == (frozenset(), math.inf)


def test_a_start_that_failed_counts_as_an_end() -> None:
    lives, missing = Lives(), (gone(WEB1),)
    lives.observe(deployment(), (), missing, 100.0)
    lives.note_start([WEB1], 100.0)
    assert lives.observe(deployment(), (), missing, 103.0) == (WEB1,)
    assert lives.due(POLICY, missing, 103.0) == (frozenset(), 104.0)


def test_what_finished_stays_down_also_when_its_container_is_gone() -> None:
    lives = Lives()
    lives.observe(deployment(), [container(WORKER1, started_at=0.0)], (), 1.0)
    lives.observe(deployment(), (), [gone(WORKER1, 0)], 2.0)
    later = (gone(WORKER1),)
    assert lives.observe(deployment(), (), later, 500.0) == ()
    assert lives.due(POLICY, later, 500.0) == (frozenset(), math.inf)


def test_a_new_release_or_restart_begins_a_new_life() -> None:
    for after in (deployment(version=2), deployment(generation=1)):
        lives = Lives()
        lives.observe(deployment(), [container(WEB1, started_at=0.0)], (), 1.0)
        lives.observe(deployment(), (), [gone(WEB1, 0)], 2.0)
        missing = (gone(WEB1),)
        lives.observe(after, (), missing, 3.0)
        assert lives.due(POLICY, missing, 3.0) == (frozenset({WEB1}), math.inf)
