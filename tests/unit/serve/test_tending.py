"""What the supervisor does for containers made by hand and for health checks, and when."""

from __future__ import annotations

import math
import selectors
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from paas.errors import NotFound
from paas.model.container import LABEL_KIND, PLATFORM, Container, ContainerStatus
from paas.model.health import Health, HealthCheck, HealthResult, HealthStatus
from paas.serve.tending import MAX_WORKERS, Tending
from paas.serve.workers import Workers

RUNNING = Container(
    id="c1", name="", image="", tenant=PLATFORM, argv=("sh",), labels={}, status=ContainerStatus.RUNNING, created_at=0,
    started_at=1000.0, pid=1,
)  # fmt: skip
STOPPED = replace(RUNNING, status=ContainerStatus.STOPPED, finished_at=1001.0, exit_code=1, pid=0)
CHECK = HealthCheck(argv=("true",), interval_s=30, timeout_s=5, start_interval_s=5, retries=3)


class InlineWorkers(Workers):
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        super().__init__(selectors.DefaultSelector(), before_fork=lambda: None)
        self.ends: dict[str, Callable[[], None]] = {}

    def start(self, name: str, work: Callable[[], int], on_end: Callable[[int], None]) -> None:
        self._pids[name] = 0

        def end() -> None:
            code = work()
            del self._pids[name]
            on_end(code)

        self.ends[name] = end

    def finish(self) -> None:
        for name in list(self.ends):
            self.ends.pop(name)()


class Machine:
    """An engine of containers in memory, and a clock."""

    def __init__(self, *containers: Container) -> None:
        self.now, self.done, self.watched = 1002.0, [], []
        self.containers = {c.id: c for c in containers}
        self.workers = InlineWorkers()
        self.tending = Tending(self, self.workers, self._watch, lambda: self.now)  # type: ignore[arg-type]
        self.tending.update(containers)

    def _watch(self, containers: Iterable[Container]) -> None:
        self.watched += [c.id for c in containers]

    def inspect(self, container: str) -> Container:
        if container not in self.containers:
            raise NotFound(container)
        return self.containers[container]

    def start(self, container: str) -> None:
        self._do("start", container, status=ContainerStatus.RUNNING, started_at=self.now, exit_code=None, pid=2)

    def wait(self, container: str, *, timeout_s: float) -> None:
        self._do("wait", container, exit_code=0)

    def check_health(self, container: str) -> None:
        result = HealthResult(at=self.now, exit_code=0)
        self._do("check", container, health=Health(status=HealthStatus.HEALTHY, results=(result,)))

    def remove(self, container: str) -> None:
        self.done.append("remove")
        del self.containers[container]

    def _do(self, what: str, container: str, **changes: Any) -> None:
        self.done.append(what)
        self.containers[container] = replace(self.containers[container], **changes)

    def step(self, seconds: float = 0.0) -> list[str]:
        """Let time pass, do what is due to its end, return what was done."""
        self.now += seconds
        self.done.clear()
        self.tending.step()
        self.workers.finish()
        return self.done


@pytest.mark.parametrize(
    "container",
    [
        RUNNING,
        STOPPED,
        replace(STOPPED, restart="on-failure", exit_code=0),
        replace(STOPPED, restart="always", is_stopped_by_user=True),
        replace(STOPPED, restart="always", labels={LABEL_KIND: "process"}),
        replace(STOPPED, restart="always", status=ContainerStatus.CREATED),
        replace(STOPPED, health_check=CHECK),
    ],
)
def test_there_is_nothing_to_do_for(container: Container) -> None:
    machine = Machine(container)
    assert machine.tending.due_at == math.inf
    assert machine.step(1000) == []


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_a_container_that_failed_is_started_again_later_and_later(policy: str) -> None:
    machine = Machine(replace(STOPPED, restart=policy))
    assert machine.tending.due_at == 1002.0  # a second after its end
    assert machine.step() == ["start"]
    assert machine.watched == ["c1"]
    machine.containers["c1"] = replace(machine.containers["c1"], status=ContainerStatus.STOPPED, exit_code=1, finished_at=1003.0)
    machine.tending.look_again("c1")
    assert machine.tending.due_at == 1005.0  # two seconds now


def test_after_so_many_restarts_it_is_left_alone() -> None:
    machine = Machine(replace(STOPPED, restart="on-failure:2"))
    for _ in range(2):
        assert machine.step(60) == ["start"]
        machine.containers["c1"] = replace(STOPPED, restart="on-failure:2", finished_at=machine.now)
        machine.tending.look_again("c1")
    assert machine.step(1000) == []


def test_an_end_whose_exit_code_is_not_there_yet_is_waited_for_before_it_is_judged() -> None:
    machine = Machine(replace(STOPPED, restart="on-failure", exit_code=None))
    assert machine.step() == ["wait"]
    assert machine.step(1000) == []  # it turned out to be 0


def test_a_container_to_be_removed_at_its_end_is_removed() -> None:
    machine = Machine(replace(RUNNING, is_removed_at_end=True))
    assert (machine.watched, machine.step()) == (["c1"], [])
    machine.containers["c1"] = replace(STOPPED, is_removed_at_end=True, is_stopped_by_user=True)
    machine.tending.look_again("c1")
    assert machine.step() == ["remove"]
    assert machine.tending.due_at == math.inf


def test_health_is_checked_after_the_start_and_an_interval_after_each_check() -> None:
    machine = Machine(replace(RUNNING, health_check=CHECK, labels={LABEL_KIND: "process"}))
    assert (machine.step(), machine.tending.due_at) == ([], 1030.0)
    assert machine.step(28) == ["check"]
    assert (machine.step(), machine.tending.due_at) == ([], 1060.0)
    machine.tending.update([])
    assert machine.tending.due_at == math.inf


def test_only_so_many_things_are_done_at_once() -> None:
    machine = Machine(*(replace(RUNNING, id=f"c{n}", health_check=CHECK) for n in range(MAX_WORKERS + 3)))
    machine.now = 1030.0
    machine.tending.step()
    assert (len(machine.workers), machine.tending.due_at) == (MAX_WORKERS, math.inf)
    machine.workers.finish()
    assert machine.step().count("check") == 3
