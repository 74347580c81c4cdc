"""The verbs of the embedded engine on the real kernel, crun and conmon."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine_ground import EngineGround
from harness import wait_until
from paas.engines import Stdio
from paas.errors import CommandFailed, Conflict, HostProblem, InvalidInput, NotFound
from paas.model.container import ContainerSpec, ContainerStatus, Extras, Limits, Mount, NetworkMode, Ulimit
from paas.oci.manifest import ImageConfig

pytestmark = pytest.mark.integration


def output_of(ground: EngineGround, spec: ContainerSpec, *, stdin: bytes = b"") -> tuple[int, str]:
    """Run in the foreground; return exit code and what it wrote."""
    source, feed = os.pipe()
    os.write(feed, stdin)
    os.close(feed)
    reading, writing = os.pipe()
    try:
        code = ground.engine.run(spec, Stdio(stdin=source, stdout=writing, stderr=writing))
    finally:
        os.close(writing)
        os.close(source)
    with open(reading) as stream:
        return code, stream.read()


def shell(script: str, **fields: object) -> ContainerSpec:
    return ContainerSpec(image="busybox", argv=("sh", "-c", script), **fields)  # type: ignore[arg-type]


def eventually(is_true: object, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_container_without_any_command_is_refused(ground: EngineGround) -> None:
    layers = ground.store.image("busybox").layers
    spec = ContainerSpec(image=ground.store.create_image(ImageConfig(), list(layers)).id, argv=())
    for verb in (ground.engine.create, ground.engine.run):
        with pytest.raises(InvalidInput, match="names no command"):
            verb(spec)
    assert ground.engine.list() == ()



def test_a_container_goes_from_created_over_running_to_stopped_and_starts_again(ground: EngineGround) -> None:
    made = ground.engine.create(shell("trap 'exit 7' TERM; echo up; sleep 60 & wait", name="life"))
    assert (made.status, made.pid) == (ContainerStatus.CREATED, 0)
    started = ground.engine.start("life")
    assert started.is_running and started.pid > 0
    eventually(lambda: list(ground.engine.logs("life")))
    stopped = ground.engine.stop(made.id[:6])
    assert (stopped.status, stopped.exit_code, stopped.pid) == (ContainerStatus.STOPPED, 7, 0)
    assert stopped.finished_at >= stopped.started_at > 0
    assert ground.engine.start("life").is_running
    ground.engine.remove("life", is_forced=True)
    with pytest.raises(NotFound, match="life"):
        ground.engine.inspect("life")


def test_stop_kills_what_ignores_the_signal(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(shell("trap '' TERM; echo up; while :; do sleep 1; done")).id)
    eventually(lambda: list(ground.engine.logs(container.id)))
    assert ground.engine.stop(container.id, timeout_s=0.3).exit_code == 128 + signal.SIGKILL


def test_an_exit_is_seen_by_wait_list_and_inspect(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(shell("exit 3", labels={"paas.app": "x"})).id)
    assert ground.engine.wait(container.id) == 3
    assert [c.exit_code for c in ground.engine.list({"paas.app": "x"})] == [3]
    assert ground.engine.list({"paas.app": "other"}) == ()


def test_wait_gives_up_after_its_timeout(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(shell("sleep 60")).id)
    assert ground.engine.wait(container.id, timeout_s=0.05) is None


def test_memory_over_the_limit_is_reported_as_out_of_memory(ground: EngineGround) -> None:
    script = "x=a; while :; do x=$x$x; done"
    container = ground.engine.create(shell(script, limits=Limits(memory_bytes=24 << 20), has_init=False))
    ground.engine.start(container.id)
    assert ground.engine.wait(container.id, timeout_s=30) == 128 + signal.SIGKILL
    assert ground.engine.inspect(container.id).is_oom_killed


def test_the_number_of_processes_is_limited(ground: EngineGround) -> None:
    code, said = output_of(ground, shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done", limits=Limits(pids=6)))
    assert code != 0 and "fork" in said


def test_a_command_that_takes_too_long_is_killed_inside_and_nothing_else(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(shell("sleep 60")).id)
    assert ground.engine.try_command(container.id, ["sh", "-c", "echo in; exec sleep 50"], timeout_s=0.3) == (None, "in\n")
    code, said = ground.engine.try_command(container.id, ["ps", "-o", "args"], timeout_s=10)
    assert code == 0 and "sleep 60" in said and "sleep 50" not in said
    assert ground.engine.try_command(container.id, ["false"], timeout_s=10) == (1, "")
    assert not [file for file in (ground.paths.containers / container.id).iterdir() if file.name.startswith(".exec-")]


def test_names_ulimits_shared_memory_and_capabilities_reach_the_container(ground: EngineGround) -> None:
    extras = Extras(
        hosts=(("db", "10.9.8.7"),), ulimits=(Ulimit(name="nofile", soft=100, hard=200), Ulimit(name="core", soft=0, hard=0)),
        shm_bytes=1 << 20, dropped_capabilities=("CAP_CHOWN",),
    )  # fmt: skip
    script = (
        "grep 10.9.8.7 /etc/hosts; ulimit -Sn; ulimit -Hn; ulimit -c; df -k /dev/shm | tail -1 | awk '{print $2}';"
        " touch /x && chown 5 /x 2>/dev/null || echo no chown"
    )
    code, said = output_of(ground, shell(script, extras=extras))
    assert (code, said.split("\n")) == (0, ["10.9.8.7\tdb", "100", "200", "0", "1024", "no chown", ""])


def test_what_is_reserved_reaches_the_kernel(ground: EngineGround) -> None:
    limits = Limits(memory_bytes=64 << 20, swap_bytes=-1, reserved_memory_bytes=32 << 20, reserved_cpu_millis=2000)
    script = "cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes /sys/fs/cgroup/memory.low 2>/dev/null; exit 0"
    assert output_of(ground, shell(script, limits=limits)) == (0, f"{32 << 20}\n")


def test_a_foreground_run_passes_streams_and_exit_code_and_leaves_nothing(ground: EngineGround) -> None:
    assert output_of(ground, shell("cat; echo err >&2; exit 5"), stdin=b"in\n") == (5, "in\nerr\n")
    assert ground.engine.list() == ()
    wait_until("nothing is left over", lambda: not ground.engine.orphans())  # the kernel removes a veth a moment later


def test_a_foreground_run_that_takes_too_long_is_killed(ground: EngineGround) -> None:
    with pytest.raises(CommandFailed, match="sleep"):
        ground.engine.run(shell("sleep 60"), timeout_s=0.2)
    assert ground.engine.list() == ()


def test_the_caller_sees_files_and_devices_unchanged(ground: EngineGround, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with target.open("w") as stream, open(os.devnull) as nothing:
        code = ground.engine.run(shell("cat; echo to a file"), Stdio(stdin=nothing.fileno(), stdout=stream.fileno()))
    assert (code, target.read_text()) == (0, "to a file\n")
    assert (target.stat().st_uid, Path(os.devnull).stat().st_uid) == (0, 0)


def test_exec_runs_one_more_process_as_asked(ground: EngineGround, tmp_path: Path) -> None:
    container = ground.engine.start(ground.engine.create(shell("sleep 60", env={"A": "1"})).id)
    target = tmp_path / "out"
    with target.open("w") as stream:
        argv = ["sh", "-c", "id; pwd; echo $A $B $FROM; exit 9"]
        code = ground.engine.exec(
            container.id, argv, stdio=Stdio(stdout=stream.fileno()), env={"B": "2"}, user="app", workdir="/tmp"
        )
    assert code == 9
    assert target.read_text() == "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n/tmp\n1 2 image\n"


def test_exec_in_a_stopped_container_is_refused(ground: EngineGround) -> None:
    container = ground.engine.create(shell("true"))
    with pytest.raises(Conflict, match="not running"):
        ground.engine.exec(container.id, ["true"])


def test_a_container_is_shut_in(ground: EngineGround) -> None:
    script = """
        grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/self/uid_map
        touch /proc/sys/kernel/x /sys/x 2>&1; mount -t tmpfs x /tmp 2>&1; mknod /tmp/sda b 8 0 2>&1; cat /proc/kcore | wc -c
        hostname; ls /dev/shm /dev/mqueue /dev/pts
    """
    code, said = output_of(ground, shell(script, tenant=ground.tenant(3), hostname="shut-in"))
    base = ground.settings.uid_start + 3 * 65536
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[:4] == ["CapEff: 00000000a80425fb", "NoNewPrivs: 1", "Seccomp: 2", f"0 {base} 65536"]
    assert "touch: /sys/x: Read-only file system" in lines
    assert any("mount" in line and "permitted" in line or "denied" in line for line in lines)
    assert any(line.startswith("mknod") for line in lines)
    assert "0" in lines and "shut-in" in lines


def test_root_inside_is_nobody_outside_and_zero_on_disk(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(shell("touch /new; sleep 60", tenant=ground.tenant(2))).id)
    upper = ground.paths.containers / container.id / "upper/new"
    eventually(upper.exists)
    assert upper.stat().st_uid == 0
    assert Path(f"/proc/{container.pid}").stat().st_uid == ground.settings.uid_start + 2 * 65536


@pytest.mark.parametrize(("is_mapped", "uid"), [(True, "0"), (False, "65534")])
def test_a_mount_shows_host_files_with_mapped_or_foreign_owners(
    ground: EngineGround, tmp_path: Path, is_mapped: bool, uid: str
) -> None:
    (tmp_path / "file").write_text("content")
    tmp_path.chmod(0o755)
    mounts = (Mount(source=tmp_path, target="/mnt/deep", is_mapped=is_mapped), Mount(target="/scratch", size_bytes=1 << 20))
    script = "stat -c %u /mnt/deep/file; cat /mnt/deep/file; df -k /scratch | tail -1"
    code, said = output_of(ground, shell(script, mounts=mounts))
    assert code == 0
    assert said.splitlines()[0] == uid and "content" in said and " 1024 " in said


def test_a_read_only_container_can_not_write(ground: EngineGround) -> None:
    code, said = output_of(ground, shell("touch /x", is_read_only=True))
    assert code != 0 and "Read-only" in said


def test_an_unprivileged_user_may_listen_on_port_80_and_has_no_capabilities(ground: EngineGround) -> None:
    container = ground.engine.create(ContainerSpec(image="busybox", argv=("server",), env={"PORT": "80"}, user="app"))
    container = ground.engine.start(container.id)
    eventually(lambda: b"uid 1000" in http_get(container.address, 80))
    assert "CapEff:\t0000000000000000" in Path(f"/proc/{container.pid}/status").read_text()


def test_an_orphan_process_is_reaped_by_the_init(ground: EngineGround) -> None:
    script = "(sleep 0.1 &) ; sleep 0.4; ps -o stat,args | grep -c '^Z' ; true"
    assert output_of(ground, shell(script)) == (0, "0\n")


def test_unknown_images_users_and_commands_are_clear_errors(ground: EngineGround) -> None:
    with pytest.raises(NotFound, match="no-such"):
        ground.engine.create(ContainerSpec(image="no-such", argv=("sh",)))
    with pytest.raises(InvalidInput, match="nobody-here"):
        ground.engine.create(shell("true", user="nobody-here"))
    container = ground.engine.create(ContainerSpec(image="busybox", argv=("no-such-command",), has_init=False))
    with pytest.raises(HostProblem, match="no-such-command"):
        ground.engine.start(container.id)
    assert ground.engine.inspect(container.id).status is ContainerStatus.CREATED
    wait_until("nothing is left over", lambda: not ground.engine.orphans())  # the kernel removes a veth a moment later


def test_a_name_is_taken_once(ground: EngineGround) -> None:
    first = ground.engine.create(shell("true", name="only"))
    with pytest.raises(Conflict, match=first.id):
        ground.engine.create(shell("true", name="only"))
    ground.engine.remove("only")
    ground.engine.create(shell("true", name="only"))


def test_a_running_container_is_removed_only_by_force(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(shell("sleep 60")).id)
    with pytest.raises(Conflict, match="running"):
        ground.engine.remove(container.id)
    ground.engine.remove(container.id, is_forced=True)
    assert ground.engine.list() == ()


def test_without_a_network_there_is_only_loopback(ground: EngineGround) -> None:
    code, said = output_of(ground, shell("ls /sys/class/net", network=NetworkMode.NONE))
    assert (code, said) == (0, "lo\n")


def mounts_of_sys() -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if " /sys" in line]


def test_in_the_hosts_network_the_hosts_interfaces_are_there(ground: EngineGround) -> None:
    before = mounts_of_sys()
    code, said = output_of(ground, shell("cat /proc/net/dev; cat /etc/resolv.conf", network=NetworkMode.HOST))
    assert code == 0
    assert mounts_of_sys() == before  # where systemd shares the host's mounts, what hides parts of a container's would get there
    assert Path("/etc/resolv.conf").read_text() in said
    assert all(f"{name}:" in said for name in ("lo", "eth0") if Path("/sys/class/net", name).exists())


def test_threads_start_containers_at_once(ground: EngineGround) -> None:
    made: list[str] = []
    failures: list[BaseException] = []

    def start_one() -> None:
        try:
            container = ground.engine.create(ContainerSpec(image="busybox", argv=("server",), tenant=ground.tenant(4)))
            made.append(ground.engine.start(container.id).address)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=start_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(made)) == 6
    for address in made:
        eventually(lambda address=address: b"200 OK" in http_get(address, 5000))


def test_a_forked_child_uses_the_same_engine(ground: EngineGround) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = ground.engine.run(shell("exit 6"))
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6


def test_commit_makes_an_image_with_what_was_written_and_removed(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(shell("echo new > /made; rm /etc/group; sleep 60", name="source")).id)
    eventually(lambda: (ground.paths.containers / container.id / "upper/etc/group").exists())
    image = ground.engine.commit("source", reference="committed", changes={"Cmd": ["cat", "/made"]})
    assert ground.store.image("committed").id == image
    assert ground.store.image(image).config.cmd == ("cat", "/made")
    assert output_of(ground, ContainerSpec(image="committed", argv=("sh", "-c", "cat /made; ls /etc"))) == (
        0, "new\nhostname\nhosts\npasswd\nresolv.conf\n",
    )  # fmt: skip


def http_get(address: str, port: int) -> bytes:
    import socket

    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return connection.recv(4096)
    except OSError:
        return b""


def test_the_containers_of_an_app_are_found_without_reading_others(ground: EngineGround) -> None:
    spec = ContainerSpec(image="busybox", argv=("true",), tenant=ground.tenant(1))
    mine = ground.engine.create(replace(spec, labels={"paas.app": "shop", "kind": "a"}))
    ground.engine.create(replace(spec, labels={"paas.app": "shop", "kind": "b"}))
    ground.engine.create(replace(spec, labels={"paas.app": "shop.eu", "kind": "a"}))
    unreadable = ground.engine.create(replace(spec, labels={"paas.app": "../shop"}))
    (ground.paths.containers / unreadable.id / "container.json").rename(ground.paths.root / "aside")
    assert [c.id for c in ground.engine.list({"paas.app": "shop", "kind": "a"})] == [mine.id]
    (ground.paths.root / "aside").rename(ground.paths.containers / unreadable.id / "container.json")
    assert [c.id for c in ground.engine.list({"paas.app": "../shop"})] == [unreadable.id]
    ground.engine.remove(mine.id)
    assert ground.engine.list({"paas.app": "shop", "kind": "a"}) == ()
    assert len(list((ground.paths.containers / ".claims" / "apps").iterdir())) == 3
