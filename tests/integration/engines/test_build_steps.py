"""Build steps: what a command changed on a stack of layers, and nothing else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from engine_ground import EngineGround
from harness import wait_until
from paas.engines import BuildStep, CommittedRun, Stdio
from paas.errors import CommandFailed
from paas.model.container import ContainerSpec, Mount, NetworkMode

pytestmark = pytest.mark.integration


def step(ground: EngineGround, script: str, **fields: object) -> BuildStep:
    layers = ground.store.image("busybox").layers
    return BuildStep(layers=layers, argv=("sh", "-c", script), env={"PATH": "/bin"}, **fields)  # type: ignore[arg-type]


def test_the_changes_of_a_step_become_a_layer_by_renaming(ground: EngineGround, tmp_path: Path) -> None:
    lines: list[str] = []
    script = "echo out; echo err >&2; echo made > /app; chown 1000:1000 /app; rm /etc/group; mkdir -p /srv/a"
    mounts = (Mount(source=tmp_path, target="/cache/deep/inside"),)
    with ground.engine.build_step(step(ground, script, mounts=mounts), on_line=lines.append) as result:
        assert (result.exit_code, lines) == (0, ["out", "err"])
        found = sorted(str(p.relative_to(result.changes)) for p in result.changes.rglob("*"))
        assert found == ["app", "etc", "etc/group", "srv", "srv/a"]
        assert ((result.changes / "app").stat().st_uid, (result.changes / "srv").stat().st_uid) == (1000, 0)
        assert stat.S_ISCHR((result.changes / "etc/group").stat().st_mode)
        layer = ground.store.adopt_layer(result.changes)
    layers = (*ground.store.image("busybox").layers, layer)
    again = BuildStep(layers=layers, argv=("cat", "/app"), env={"PATH": "/bin"})
    with ground.engine.build_step(again, on_line=lines.append) as result:
        assert (result.exit_code, lines[-1]) == (0, "made")
    wait_until("nothing is left over", lambda: not ground.engine.orphans())  # the kernel removes a veth a moment later
    assert ground.engine.list() == ()


def test_a_step_ends_with_its_own_exit_code_user_and_directory(ground: EngineGround) -> None:
    lines: list[str] = []
    script = "id -un; pwd; cat; exit 4"
    with ground.engine.build_step(step(ground, script, user="app", workdir="/made/here"), on_line=lines.append) as result:
        assert (result.exit_code, lines) == (4, ["app", "/made/here"])


def test_a_step_on_no_layers_has_an_empty_root(ground: EngineGround, tmp_path: Path) -> None:
    mounts = (Mount(source=Path("/bin/busybox"), target="/busybox", is_read_only=True),)
    empty = BuildStep(layers=(), argv=("/busybox", "touch", "/made"), mounts=mounts)
    with ground.engine.build_step(empty) as result:
        assert result.exit_code == 0
        assert [path.name for path in result.changes.iterdir()] == ["made"]


def test_a_step_that_takes_too_long_is_killed_and_leaves_nothing(ground: EngineGround) -> None:
    with pytest.raises(CommandFailed), ground.engine.build_step(step(ground, "sleep 60"), timeout_s=0.3):
        pass
    assert ground.engine.list() == ()
    wait_until("nothing is left over", lambda: not ground.engine.orphans())  # the kernel removes a veth a moment later


def test_a_trap_laid_at_a_mount_point_touches_nothing_of_the_host(ground: EngineGround, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "empty").touch()
    mounts = (Mount(source=tmp_path, target="/trap/empty"),)
    script = f"umount /trap/empty; mv /trap /gone; ln -s {outside} /trap"
    with ground.engine.build_step(step(ground, script, mounts=mounts)):
        pass
    assert (outside / "empty").exists()


def test_a_step_in_the_hosts_network_sees_its_loopback(ground: EngineGround) -> None:
    lines: list[str] = []
    with ground.engine.build_step(step(ground, "cat /proc/net/dev", network=NetworkMode.HOST), on_line=lines.append):
        pass
    assert any("eth0" in line for line in lines) == Path("/sys/class/net/eth0").exists()


def committed(ground: EngineGround, image: str, script: str) -> CommittedRun:
    spec = ContainerSpec(image=image, argv=("sh", "-c", script), tenant=ground.tenant(4))
    with open("/dev/null", "r+") as nothing:
        stdio = Stdio(stdin=nothing.fileno(), stdout=nothing.fileno(), stderr=nothing.fileno())
        return ground.engine.run_and_commit(spec, stdio, timeout_s=60)


def with_mountpoints(ground: EngineGround) -> str:
    """Return the image with all that the runtime would have to make, as real images have it."""
    base = ground.store.image("busybox")
    with ground.store.new_layer() as layer:
        for directory in ("proc", "dev", "sys", "etc"):
            (layer.diff / directory).mkdir()
        for file in ("hosts", "hostname", "resolv.conf"):
            (layer.diff / "etc" / file).touch()
        layer.commit()
    return ground.store.create_image(base.config, [*base.layers, layer.id]).id


def test_a_good_run_is_kept_as_an_image_and_a_failed_or_idle_one_is_not(ground: EngineGround) -> None:
    base = ground.store.image("busybox")
    made = committed(ground, "busybox", "echo made > /root/made; rm /etc/group")
    assert made.exit_code == 0
    image = ground.store.image(made.image)
    assert (image.config, image.layers[:-1]) == (base.config, base.layers)
    kept = sorted(str(p.relative_to(ground.store.layer_dir(image.layers[-1])))
                  for p in ground.store.layer_dir(image.layers[-1]).rglob("*"))  # fmt: skip
    assert kept == ["etc", "etc/group", "root", "root/made"]
    assert committed(ground, made.image, "test -f /root/made -a ! -e /etc/group").exit_code == 0
    assert committed(ground, "busybox", "echo lost > /root/made; exit 4") == CommittedRun(exit_code=4, image=base.id)
    whole = with_mountpoints(ground)
    assert committed(ground, whole, "true") == CommittedRun(exit_code=0, image=whole)
    assert ground.engine.list() == ()
