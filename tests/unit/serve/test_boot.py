from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paas.model.container import PLATFORM, Container, ContainerStatus
from paas.serve.boot import _forget_last_boot, _leave_stopped
from paas.state import State


@dataclass(slots=True)
class EngineWithContainers:
    containers: list[Container]
    removed: list[str] = field(default_factory=list)

    def list(self, labels: Mapping[str, str]) -> tuple[Container, ...]:
        assert labels == {"paas.kind": "process"}
        return tuple(self.containers)

    def remove(self, container: str) -> None:
        self.removed.append(container)


def container(name: str, status: ContainerStatus) -> Container:
    return Container(id=name, name=name, image="i", tenant=PLATFORM, argv=(), labels={}, status=status, created_at=0.0)


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    found = [container("stopped", ContainerStatus.STOPPED), container("running", ContainerStatus.RUNNING)]
    return SimpleNamespace(paths=SimpleNamespace(run=tmp_path), engine=EngineWithContainers(found))


def test_processes_that_the_shutdown_stopped_do_not_count_as_ended(ctx: Any) -> None:
    _forget_last_boot(ctx)
    assert ctx.engine.removed == ["stopped"]


def test_a_later_start_of_the_server_leaves_stopped_processes_to_the_restart_policy(ctx: Any) -> None:
    _forget_last_boot(ctx)
    ctx.engine.removed.clear()
    _forget_last_boot(ctx)
    assert ctx.engine.removed == []


def test_after_a_boot_an_app_that_is_not_to_be_restored_stays_stopped_until_it_is_started(tmp_path: Path) -> None:
    state = State(tmp_path / "paas.db")
    for name in ("shop", "demo"):
        state.apps.create(name, 0)
    state.properties.set("demo", "ps", "restore", "false")
    context: Any = SimpleNamespace(paths=SimpleNamespace(run=tmp_path), engine=EngineWithContainers([]), state=state)
    _leave_stopped(context)
    assert [app.name for app in state.apps.list() if app.is_stopped] == ["demo"]
    _forget_last_boot(context)
    state.apps.set_stopped("demo", False)
    _leave_stopped(context)
    assert not state.apps.get("demo").is_stopped
