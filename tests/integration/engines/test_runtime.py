"""How the OCI runtime is executed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine_ground import EngineGround
from harness import wait_until
from paas.engines.embedded.crun import find_runtime
from paas.model.container import ContainerSpec

pytestmark = pytest.mark.integration


def runtimes_of(container: str) -> list[Path]:
    """Return the processes of the runtime that run something more in a container."""
    return [path for path in Path("/proc").glob("[0-9]*") if is_exec(command_line(path), container)]


def is_exec(words: list[str], container: str) -> bool:
    return words[0] == str(find_runtime()) and {"exec", container} <= set(words)


def command_line(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text().split("\0")
    except OSError:
        return [""]


def test_the_runtime_is_a_sealed_file_in_memory_and_need_not_protect_itself(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(ContainerSpec(image="busybox", argv=("sleep", "600"))).id)
    running = threading.Thread(target=ground.engine.exec, args=(container.id, ["sleep", "600"]))
    running.start()
    try:
        runtime = wait_until("the runtime runs", lambda: runtimes_of(container.id))[0]
        assert str((runtime / "exe").readlink()) == "/memfd:crun (deleted)"
    finally:
        ground.engine.remove(container.id, is_forced=True)
        running.join()
