"""What a container, a signal or a full disk can do to the engine: end with a clear reason, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_ground import EngineGround, engine_ground
from harness import loop_disk, wait_until
from integration.engines.traces import at_rest, cycle, settled
from paas.engines.embedded.attendants import program_in
from paas.engines.embedded.crun import Crun
from paas.errors import HostProblem, PaasError
from paas.model.container import Container, ContainerSpec, Limits

pytestmark = pytest.mark.integration

LIMITS = Limits(memory_bytes=48 << 20, pids=40)


def started(ground: EngineGround, script: str, **fields: object) -> Container:
    about = {"limits": LIMITS, "tenant": ground.tenant(1), **fields}
    spec = ContainerSpec(image="busybox", argv=("sh", "-c", script), **about)  # type: ignore[arg-type]
    return ground.engine.start(ground.engine.create(spec).id)


@pytest.fixture
def nothing_leaks(ground: EngineGround) -> Iterator[None]:
    """Compare all that containers leave on a machine, before and after."""
    before = at_rest(ground)
    yield
    for container in ground.engine.list():
        ground.engine.remove(container.id, is_forced=True)
    assert settled(ground, lambda found: found == before) == before
    wait_until("nothing is left over", lambda: not ground.engine.orphans())


@pytest.mark.usefixtures("nothing_leaks")
def test_a_fork_bomb_stays_within_its_limit_and_stops_at_once(ground: EngineGround) -> None:
    container = started(ground, "bomb() { bomb | bomb & }; (bomb) & exec sleep 600")
    wait_until("it may not fork any more", lambda: any("fork" in line.text for line in ground.engine.logs(container.id)))
    assert ground.engine.stats(container.id).pids <= 40
    ended = ground.engine.stop(container.id, timeout_s=0).exit_code
    assert ended in (128 + signal.SIGTERM, 128 + signal.SIGKILL)  # whichever comes first


@pytest.mark.usefixtures("nothing_leaks")
def test_a_memory_hog_is_killed_and_the_reason_is_told(ground: EngineGround) -> None:
    container = started(ground, "x=a; while :; do x=$x$x; done")
    ground.engine.wait(container.id, timeout_s=60)
    ended = ground.engine.inspect(container.id)
    assert (ended.exit_code, ended.exit_signal, ended.is_oom_killed) == (128 + signal.SIGKILL, "SIGKILL", True)
    assert ended.exit_reason == "was killed because it used more memory than it may (48 MiB)"


@pytest.mark.usefixtures("nothing_leaks")
def test_a_flood_of_output_takes_bounded_disk_and_memory(ground: EngineGround) -> None:
    limit = 1 << 20
    container = started(ground, "yes 0123456789abcdef | head -c 40000000; sleep 600", log_max_bytes=limit)
    assert container.log_path is not None
    conmon = int((ground.paths.containers / container.id / "conmon.pid").read_text())
    log, largest = container.log_path, 0

    def is_over() -> bool:
        nonlocal largest
        ground.engine.keep_logs()
        sizes = dict(_inode_and_size(part) for part in log.parent.glob(f"{log.name}*"))
        largest = max(largest, sum(sizes.values()))
        return [p.argv[0] for p in ground.engine.processes(container.id)][1:] == ["sleep"]

    wait_until("all is written", is_over, timeout_s=120)
    assert largest <= 3 * limit  # the log, what it was before it was replaced, and what it was before that
    rss = next(line for line in Path(f"/proc/{conmon}/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert int(rss.split()[1]) < 16_000
    assert [line.text for line in ground.engine.logs(container.id, lines=2)] == ["0123456789abcdef", "012"]  # as head cut it


def _inode_and_size(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0  # moved meanwhile
    return status.st_ino, status.st_size


@pytest.mark.usefixtures("nothing_leaks")
@pytest.mark.parametrize("name", ["conmon", "crun"])
def test_conmon_or_crun_may_be_killed_at_any_moment(ground: EngineGround, name: str) -> None:
    """Each start ends in a running container or in an error that says so; what is left, the next repair takes away."""
    chance = random.Random(name)
    for _ in range(12):
        stop, kills = threading.Event(), threading.Thread(target=lambda: None)
        kills = threading.Thread(target=_kill_one, args=(ground, name, chance.uniform(0, 0.03), stop))
        kills.start()
        try:
            cycle(ground, 0)
        except PaasError as exc:
            assert exc.message and not isinstance(exc, AssertionError)
        finally:
            stop.set()
            kills.join()
    for container in ground.engine.list():
        ground.engine.remove(container.id, is_forced=True)
    ground.engine.repair()


@pytest.mark.usefixtures("nothing_leaks")
def test_a_start_does_not_wait_for_a_process_that_was_killed(ground: EngineGround, monkeypatch: pytest.MonkeyPatch) -> None:
    start = Crun.start

    def kill_and_start(crun: Crun, container: str, init: int) -> None:
        os.kill(init, signal.SIGKILL)
        start(crun, container, init)

    spec = ContainerSpec(image="busybox", argv=("sleep", "600"), tenant=ground.tenant(1))
    container = ground.engine.create(spec)
    with monkeypatch.context() as patch, pytest.raises(HostProblem, match="could not be started"):
        patch.setattr(Crun, "start", kill_and_start)
        ground.engine.start(container.id)
    assert ground.engine.start(container.id).is_running
    ground.engine.remove(container.id, is_forced=True)


def _kill_one(ground: EngineGround, name: str, delay_s: float, stop: threading.Event) -> None:
    """Kill the first process of this program that works for the ground, some time after it was seen."""
    while not stop.is_set():
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdecimal() else [b""]
                if program_in(words) == name and str(ground.paths.run).encode() in b" ".join(words):
                    stop.wait(delay_s)
                    os.kill(int(process.name), signal.SIGKILL)
                    return


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with loop_disk(48) as disk:
        yield disk


def test_a_container_that_fills_the_disk_can_be_removed_and_all_is_well_again(small_disk: Path) -> None:
    with engine_ground(parent=small_disk) as ground:
        before = at_rest(ground)
        filler = started(ground, "for size in 1M 512; do dd if=/dev/zero of=/fill$size bs=$size; done; sleep 600")
        wait_until("it is full", lambda: [p.argv[0] for p in ground.engine.processes(filler.id)][1:] == ["sleep"], timeout_s=60)
        for _ in range(3):
            with pytest.raises(HostProblem, match="disk is full"):
                started(ground, "true")
        assert [c.id for c in ground.engine.list()] == [filler.id]
        assert ground.engine.inspect(filler.id).is_running
        ground.engine.remove(filler.id, is_forced=True)
        ground.engine.remove(started(ground, "true").id, is_forced=True)
        assert settled(ground, lambda found: found == before) == before
        assert ground.engine.orphans() == ()
