"""Volumes, health checks, counters, limits and names of containers on the real kernel."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine_ground import EngineGround
from harness import wait_until
from paas.engines import Stdio
from paas.errors import Conflict, InvalidInput, NotFound
from paas.model.container import Container, ContainerSpec, Limits, Mount
from paas.model.health import HealthCheck, HealthStatus
from paas.oci.manifest import Healthcheck

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def image(ground: EngineGround) -> str:
    """An image with volumes, one of them with content of a user's, and a health check."""
    with ground.store.new_layer() as layer:
        (layer.diff / "var/data/deep").mkdir(parents=True)
        (layer.diff / "var/data/deep/file").write_text("content")
        os.chown(layer.diff / "var/data", 1000, 2000)
        os.chown(layer.diff / "var/data/deep/file", 1000, 1000)
        (layer.diff / "var/data").chmod(0o750)
        (layer.diff / "link").symlink_to("/home")
        layer.commit()
    base = ground.store.image("busybox")
    check = Healthcheck(test=("CMD-SHELL", "echo looked; test -f /tmp/well"), interval_s=1, retries=2)
    config = replace(base.config, volumes=("/var/data", "/fresh"), healthcheck=check)
    ground.store.create_image(config, [*base.layers, layer.id], reference="volumes")
    return "volumes"


def said_by(ground: EngineGround, spec: ContainerSpec) -> list[str]:
    reading, writing = os.pipe()
    code = ground.engine.run(spec, Stdio(stdout=writing, stderr=writing))
    os.close(writing)
    with open(reading) as stream:
        said = stream.read()
    assert code == 0, said
    return said.splitlines()


def sleeper(ground: EngineGround, image: str = "busybox", **fields: object) -> Container:
    spec = ContainerSpec(image=image, argv=("sleep", "600"), **fields)  # type: ignore[arg-type]
    return ground.engine.start(ground.engine.create(spec).id)


LOOK = ("sh", "-c", "stat -c '%u %g %a' $0/ && cat $0/deep/file && stat -c ' %u %g' $0/deep/file && touch $0/new && echo made")
EXPECTED = ["1000 2000 750", "content 1000 1000", "made"]


def look(target: str) -> Sequence[str]:
    return (*LOOK, target)


def test_a_volume_begins_with_what_the_image_has_and_goes_with_its_container(ground: EngineGround, image: str) -> None:
    assert said_by(ground, ContainerSpec(image=image, argv=tuple(look("/var/data")), tenant=ground.tenant(2))) == EXPECTED
    container = sleeper(ground, image, tenant=ground.tenant(2))
    assert ground.engine.exec(container.id, ["touch", "/var/data/x", "/fresh/y"]) == 0
    assert not (ground.paths.containers / container.id / "upper/var/data/x").exists()
    assert ground.engine.restart(container.id, timeout_s=0).is_running
    assert ground.engine.exec(container.id, ["ls", "/var/data/x", "/fresh/y"]) == 0
    ground.engine.remove(container.id, is_forced=True)
    assert not (ground.paths.containers / container.id).exists()


def test_a_named_volume_is_filled_once_and_shared_across_tenants(ground: EngineGround, image: str) -> None:
    mounts = (Mount(target="/var/data/", volume="shared"), Mount(target="/bare", volume="bare", is_copied=False))
    first = ContainerSpec(image=image, argv=tuple(look("/var/data")), mounts=mounts, tenant=ground.tenant(2))
    assert said_by(ground, first) == EXPECTED
    other = replace(first, tenant=ground.tenant(3), argv=("sh", "-c", "ls /var/data; stat -c %u /var/data/new /var/data"))
    assert said_by(ground, other) == ["deep", "new", "0", "1000"]
    holder = sleeper(ground, image, mounts=mounts)
    assert ground.engine.volumes() == {"shared": (holder.id,), "bare": (holder.id,)}
    with pytest.raises(Conflict, match=holder.id):
        ground.engine.remove_volume("shared")
    ground.engine.remove(holder.id, is_forced=True)
    for name in ("shared", "bare"):
        ground.engine.remove_volume(name)
    with pytest.raises(NotFound, match="shared"):
        ground.engine.remove_volume("shared")
    assert ground.engine.volumes() == {}


def test_a_volume_made_by_hand_is_there_once(ground: EngineGround) -> None:
    ground.engine.create_volume("mine")
    with pytest.raises(Conflict, match="mine"):
        ground.engine.create_volume("mine")
    assert said_by(ground, ContainerSpec(image="busybox", argv=("ls", "/v"), mounts=(Mount(target="/v", volume="mine"),))) == []
    ground.engine.remove_volume("mine")


def test_a_volume_at_a_link_of_the_image_stays_inside(ground: EngineGround, image: str) -> None:
    mounts = (Mount(target="/link/app/deep", volume="v"), Mount(target="/link"))
    said = said_by(ground, ContainerSpec(image=image, argv=("sh", "-c", "touch /home/app/deep/x; ls /link/app"), mounts=mounts))
    assert said == ["deep"]
    assert (ground.paths.volumes / "v/data/x").exists()
    ground.engine.remove_volume("v")


def test_a_volume_over_a_file_of_the_image_is_refused(ground: EngineGround) -> None:
    with pytest.raises(InvalidInput, match="/etc/passwd"):
        ground.engine.create(ContainerSpec(image="busybox", argv=("sh",), mounts=(Mount(target="/etc/passwd", volume="v"),)))
    assert ground.engine.list() == ()


def test_a_health_check_runs_inside_and_is_remembered_until_the_next_start(ground: EngineGround, image: str) -> None:
    container = sleeper(ground, image)
    assert container.health.status is HealthStatus.STARTING
    assert [ground.engine.check_health(container.id).health.status for _ in range(2)] == ["starting", "unhealthy"]
    ground.engine.exec(container.id, ["touch", "/tmp/well"])
    health = ground.engine.check_health(container.id).health
    assert (health.status, [r.exit_code for r in health.results], health.results[-1].output) == ("healthy", [1, 1, 0], "looked\n")
    assert ground.engine.restart(container.id, timeout_s=0).health.status is HealthStatus.STARTING


def test_a_health_check_that_hangs_is_killed_with_all_it_started(ground: EngineGround) -> None:
    check = HealthCheck(argv=("sh", "-c", "echo slow; sleep 77 & sleep 88"), timeout_s=0.3, retries=1)
    container = sleeper(ground, health=check)
    health = ground.engine.check_health(container.id).health
    assert (health.status, health.results[0].exit_code, health.results[0].output) == ("unhealthy", -1, "slow\n")
    wait_until("it is gone", lambda: [p.argv[0] for p in ground.engine.processes(container.id)] == ["/dev/.init", "sleep"])
    assert Path(os.devnull).stat().st_uid == 0


def test_a_container_without_a_check_has_no_health(ground: EngineGround) -> None:
    assert ground.engine.check_health(sleeper(ground).id).health.status is HealthStatus.NONE


def test_counters_and_processes_of_a_running_container_are_read(ground: EngineGround) -> None:
    container = sleeper(ground, limits=Limits(memory_bytes=64 << 20, pids=20), user="app")
    wait_until("the init has started it", lambda: len(ground.engine.processes(container.id)) == 2)
    usage = ground.engine.stats(container.id)
    assert usage.cpu_s > 0 and 0 < usage.memory_bytes < 64 << 20
    assert (usage.memory_limit_bytes, usage.pids, usage.pids_limit) == (64 << 20, 2, 20)
    assert [(p.argv[-1], p.user) for p in ground.engine.processes(container.id)] == [("600", 1000)] * 2
    ground.engine.stop(container.id, timeout_s=0)
    for read in (ground.engine.stats, ground.engine.processes):
        with pytest.raises(Conflict, match="not running"):
            read(container.id)


def test_limits_of_a_running_container_change_and_are_kept_for_the_next_start(ground: EngineGround) -> None:
    container = sleeper(ground, limits=Limits(memory_bytes=64 << 20, pids=20))
    small, large = Limits(memory_bytes=32 << 20, pids=10, cpu_millis=500), Limits(memory_bytes=128 << 20)
    for limits in (small, large, Limits(), Limits(pids=9)):
        assert ground.engine.update(container.id, limits=limits).limits == limits
        usage = ground.engine.stats(container.id)
        assert (usage.memory_limit_bytes, usage.pids_limit) == (limits.memory_bytes, limits.pids)
    ground.engine.restart(container.id, timeout_s=0)
    assert ground.engine.stats(container.id).pids_limit == 9
    assert ground.engine.update(container.id, restart="always").restart == "always"
    assert ground.engine.inspect(container.id).limits == Limits(pids=9)


def test_a_container_takes_another_name_and_its_old_one_is_free(ground: EngineGround) -> None:
    first = ground.engine.create(ContainerSpec(image="busybox", argv=("true",), name="before"))
    other = ground.engine.create(ContainerSpec(image="busybox", argv=("true",), name="other"))
    with pytest.raises(Conflict, match=other.id):
        ground.engine.rename("before", "other")
    assert ground.engine.rename("before", "after").name == "after"
    assert ground.engine.inspect("after").id == first.id
    assert ground.engine.rename("other", "before").id == other.id
    with pytest.raises(InvalidInput, match="name"):
        ground.engine.rename("before", "no/good")


def test_a_restart_keeps_the_address(ground: EngineGround) -> None:
    container = sleeper(ground)
    again = ground.engine.restart(container.id, timeout_s=0)
    assert again.is_running and again.pid != container.pid and again.address == container.address


@pytest.mark.parametrize(
    ("number", "is_asked_for", "reason"),
    [(signal.SIGKILL, True, "was killed by SIGKILL"), (signal.SIGSEGV, False, "was killed by SIGSEGV")],
)
def test_the_reason_of_an_end_is_told(ground: EngineGround, number: int, is_asked_for: bool, reason: str) -> None:
    container = ground.engine.create(ContainerSpec(image="busybox", argv=("sh", "-c", "sleep 600 & wait; exit")))
    ground.engine.start(container.id)
    if is_asked_for:
        ground.engine.kill(container.id, number)
    else:
        wait_until("it runs", lambda: len(ground.engine.processes(container.id)) == 3)
        os.kill(ground.engine.processes(container.id)[1].pid, number)
    ground.engine.wait(container.id, timeout_s=10)
    ended = ground.engine.inspect(container.id)
    assert (ended.exit_reason, ended.is_stopped_by_user) == (reason, is_asked_for)
    assert not ground.engine.start(container.id).is_stopped_by_user
