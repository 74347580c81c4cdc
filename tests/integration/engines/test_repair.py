"""What is left after a crash at any line, a reboot, and many containers: nothing that `repair` does not take away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from engine_ground import EngineGround
from harness import wait_until
from integration.engines.traces import cycle, settled
from paas.engines import BuildStep
from paas.model.container import ContainerSpec, ContainerStatus
from paas.network import bridge

pytestmark = pytest.mark.integration


def test_start_stop_remove_over_and_over_leaves_everything_where_it_was(ground: EngineGround) -> None:
    for number in range(2):
        cycle(ground, number)
    before = settled(ground, lambda found: len(found["interfaces"]) == 2)  # type: ignore[arg-type]
    for number in range(20):
        cycle(ground, number)
    assert settled(ground, lambda found: found == before) == before
    wait_until("nothing is left over", lambda: not ground.engine.orphans())  # the kernel removes a veth a moment later


def test_a_maker_killed_at_any_moment_leaves_nothing_after_repair(ground: EngineGround) -> None:
    cycle(ground, 0)
    before = settled(ground, lambda found: len(found["interfaces"]) == 2)  # type: ignore[arg-type]
    for number in range(24):
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                cycle(ground, 0)
            finally:
                os._exit(0)
        time.sleep(number * 0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    time.sleep(0.3)  # a runtime command that was under way may end on its own
    ground.engine.repair()
    for container in ground.engine.list():  # those that were made or started properly are containers, not orphans
        ground.engine.remove(container.id, is_forced=True)
    ground.engine.repair()
    assert settled(ground, lambda found: found == before) == before
    wait_until("nothing is left over", lambda: not ground.engine.orphans())  # the kernel removes a veth a moment later


@pytest.mark.parametrize("kind", ["run", "step"])
def test_a_foreground_container_whose_caller_was_killed_is_removed(ground: EngineGround, kind: str) -> None:
    child = os.fork()
    if child == 0:
        argv = ("sh", "-c", "sleep 60")
        if kind == "run":
            ground.engine.run(ContainerSpec(image="busybox", argv=argv))
        with ground.engine.build_step(BuildStep(layers=ground.store.image("busybox").layers, argv=argv)):
            os._exit(0)
    deadline = time.monotonic() + 10
    while not any(c.is_running for c in ground.engine.list()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (container,) = ground.engine.list()
    assert not any(container.id in line for line in ground.engine.repair())  # its caller lives
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert any(container.id in line for line in ground.engine.repair())
    assert ground.engine.list() == ()
    assert not Path(f"/proc/{container.pid}").exists()


def test_containers_live_on_when_their_maker_dies(ground: EngineGround) -> None:
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            ground.engine.start(ground.engine.create(ContainerSpec(image="busybox", argv=("server",), name="alone")).id)
        finally:
            os.killpg(0, signal.SIGKILL)
    os.waitpid(child, 0)
    assert ground.engine.inspect("alone").is_running
    assert ground.engine.stop("alone").exit_code == 0  # its conmon lived on, too


def test_after_a_reboot_running_containers_are_found_stopped_and_start_again(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(ContainerSpec(image="busybox", argv=("server",))).id)
    _reboot(ground, container.id, container.pid)
    found = ground.engine.inspect(container.id)
    assert (found.status, found.exit_code) == (ContainerStatus.STOPPED, None)
    ground.engine.repair()
    again = ground.engine.start(container.id)
    assert again.is_running and again.address == container.address


def test_a_container_whose_conmon_was_killed_still_stops(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(ContainerSpec(image="busybox", argv=("sleep", "60"))).id)
    os.kill(int((ground.paths.containers / container.id / "conmon.pid").read_text()), signal.SIGKILL)
    assert container.is_held
    wait_until("its end is seen", lambda: not ground.engine.inspect(container.id).is_held)
    assert ground.engine.inspect(container.id).is_running
    stopped = ground.engine.stop(container.id, timeout_s=5)
    assert (stopped.status, stopped.exit_code) == (ContainerStatus.STOPPED, None)
    assert ground.engine.wait(container.id) == 255


def test_a_reused_pid_is_not_taken_for_the_container(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(ContainerSpec(image="busybox", argv=("true",))).id)
    ground.engine.wait(container.id)
    home = ground.paths.containers / container.id
    (home / "last/exit").unlink()
    processes = json.loads((home / "process.json").read_text())
    (home / "process.json").write_text(json.dumps({**processes, "pid": os.getpid()}))
    assert not ground.engine.inspect(container.id).is_running


def _reboot(ground: EngineGround, container: str, pid: int) -> None:
    """Do to one container what a reboot does: processes, mounts, interfaces and /run are gone, the boot id is another."""
    home = ground.paths.containers / container
    for name in ("conmon.pid", "pid"):
        os.kill(int((home / name).read_text()), signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.005)
    processes = json.loads((home / "process.json").read_text())
    (home / "process.json").write_text(json.dumps({**processes, "boot": "an earlier one"}))
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed([m for m in mounts if m.startswith(str(ground.paths.run))]):
        subprocess.run(["umount", mount], check=True)
    for name in bridge.interfaces(ground.settings.network_prefix):
        bridge.remove_interface(name)
    shutil.rmtree(ground.paths.run)


def test_what_a_killed_pull_left_in_the_image_store_is_found_and_removed(ground: EngineGround) -> None:
    before = set(ground.engine.orphans())
    child = os.fork()
    if child == 0:
        with ground.store.transfer() as scratch, ground.store.new_layer() as layer:
            (scratch / "blob").write_text("x")
            (layer.diff / "file").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    found = sorted(set(ground.engine.orphans()) - before)
    assert [one.split(" of ")[0].split()[0:2][-1] for one in found][1:] == ["files", "hold"]
    assert found[0].startswith("layer ")
    ground.engine.repair()
    assert set(ground.engine.orphans()) <= before
