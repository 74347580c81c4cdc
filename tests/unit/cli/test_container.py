from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from paas.cli.container.flags import parse_environment, parse_moment, parse_publish, parse_span
from paas.cli.container.life import changed_limits, remove
from paas.cli.container.logs import logs
from paas.cli.container.running import attach, create, execute, start
from paas.cli.container.showing import port, status_text
from paas.engines import LogLine
from paas.errors import InvalidInput, NotFound
from paas.model.container import (
    PLATFORM,
    Container,
    ContainerSpec,
    ContainerStatus,
    Extras,
    Limits,
    Mount,
    NetworkMode,
    PortMapping,
    Ulimit,
)  # fmt: skip
from paas.model.dockerflags import parse_labels, parse_mount, parse_size, parse_tmpfs, parse_volume
from paas.model.health import Health, HealthCheck, HealthStatus
from paas.oci.manifest import host_platform
from paas.output import Output
from paas.settings import Settings


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1024", 1024), ("64k", 65536), ("256m", 268435456), ("1.5GB", 1610612736), ("10b", 10)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1m", "1x", "1 m"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("250us", 0.00025)]
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_span(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", 400.0), ("1.5s", 998.5), ("300", 300.0), ("300.25", 300.25), ("1970-01-01T00:01:40Z", 100.0),
        ("1970-01-01T01:01:40.5+01:00", 100.5),
    ],
)  # fmt: skip
def test_moments(text: str, moment: float) -> None:
    assert parse_moment(text, now=1000.0) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "1970-13-01", "nan", "1e3"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_moment(text, now=1000.0)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), "abcd"), (("--tail", "all"), "abcd"), (("-n", "2"), "cd"), (("--tail", "0"), ""), (("--since", "20"), "bcd"),
        (("--until", "30"), "ab"), (("--until", "30", "-n", "1"), "b"), (("--since", "85s", "--until", "40"), "bc"),
        (("-f", "-n", "0"), "e"), (("-f", "-n", "1"), "de"), (("-f", "--until", "15"), "a"),
    ],
)  # fmt: skip
def test_logs_are_cut_by_count_and_time(words: tuple[str, ...], shown: str) -> None:
    lines = [LogLine(at=at, stream="stdout", text=text) for at, text in ((10, "a"), (20, "b"), (30, "c"), (40, "d"), (101, "e"))]

    def read(_container: str, *, follow: bool = False, lines: int = 0) -> list[LogLine]:
        return written[-lines:] + later if follow else written[-lines:]

    written, later = lines[:4], lines[4:]
    ctx = SimpleNamespace(engine=SimpleNamespace(logs=read), now=lambda: 100.0)
    done = CliRunner().invoke(logs, [*words, "web"], obj=ctx, standalone_mode=False, catch_exceptions=False)
    assert done.output.replace("\n", "") == shown


def test_the_time_of_a_line_is_shown_with_its_fraction() -> None:
    ctx = SimpleNamespace(
        engine=SimpleNamespace(logs=lambda *_, **__: [LogLine(at=1.25, stream="stdout", text="x")]), now=lambda: 9.0
    )
    done = CliRunner().invoke(logs, ["-t", "web"], obj=ctx, standalone_mode=False, catch_exceptions=False)
    assert done.output == "1970-01-01T00:00:01.250000Z x\n"


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1d", "1s 2s"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_span(text)


def test_volumes(tmp_path: Path) -> None:
    assert parse_volume(f"{tmp_path}:/data:ro") == Mount(source=tmp_path, target="/data", is_read_only=True)
    assert parse_volume("named:/data:nocopy") == Mount(volume="named", target="/data", is_copied=False)
    assert parse_volume("named:/data:rw,z") == Mount(volume="named", target="/data")
    assert parse_volume("/data") == Mount(target="/data", is_anonymous=True)
    wrong = ("/nowhere-at-all:/data", f"{tmp_path}:data", f"{tmp_path}:/data:xx", "data:", "data:/", "", "v:/a/../b", "data")
    for text in wrong:
        with pytest.raises(InvalidInput):
            parse_volume(text)


def test_mounts(tmp_path: Path) -> None:
    assert parse_mount(f"type=bind,src={tmp_path},dst=/d,readonly") == Mount(source=tmp_path, target="/d", is_read_only=True)
    assert parse_mount("source=named,target=/d") == Mount(volume="named", target="/d")
    assert parse_mount("type=volume,destination=/d,volume-nocopy") == Mount(target="/d", is_anonymous=True, is_copied=False)
    assert parse_mount("type=tmpfs,target=/d,tmpfs-size=1m,tmpfs-mode=0700") == Mount(target="/d", size_bytes=1 << 20, mode=0o700)
    for text in ("type=bind,target=/d", "type=x,target=/d", "type=tmpfs", "target=/d,colour=red", ""):
        with pytest.raises(InvalidInput):
            parse_mount(text)


def test_tmpfs() -> None:
    assert parse_tmpfs("/run:size=64k,mode=755,noexec") == Mount(target="/run", size_bytes=65536, mode=0o755)
    assert parse_tmpfs("/run") == Mount(target="/run")
    for text in ("run", "/run:mode=9", "/run:colour=red"):
        with pytest.raises(InvalidInput):
            parse_tmpfs(text)


def test_published_ports() -> None:
    assert parse_publish("8080:80") == (PortMapping(host_port=8080, container_port=80),)
    assert parse_publish("127.0.0.1:53:5353/udp") == (
        PortMapping(host_port=53, container_port=5353, host_address="127.0.0.1", protocol="udp"),
    )
    assert parse_publish("80") == parse_publish("0:80") == (PortMapping(host_port=0, container_port=80),)
    assert parse_publish("127.0.0.1::80") == (PortMapping(host_port=0, container_port=80, host_address="127.0.0.1"),)
    assert parse_publish("8000-8001:80-81") == (*parse_publish("8000:80"), *parse_publish("8001:81"))
    assert parse_publish("80-81") == (*parse_publish("80"), *parse_publish("81"))
    for wrong in ("", "0", "80:70000", "a:b", "1:2:3:4", "80:80/sctp", "1-2:3", "1-3:4-5", "5-4", "300.0.0.1:1:2", "80:"):
        with pytest.raises(InvalidInput):
            parse_publish(wrong)


def test_labels_of_the_platform_can_not_be_set() -> None:
    assert parse_labels(["a=b=c", "flag"]) == {"a": "b=c", "flag": ""}
    for wrong in ("paas.app=shop", "=x"):
        with pytest.raises(InvalidInput):
            parse_labels([wrong])


def test_variables_come_from_files_then_from_words(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\nA=1\n\n  B=two words # no comment\nOURS\nNOT_SET\n")
    found = parse_environment([str(file)], ["A=2", "MINE", "NEITHER"], {"OURS": "value", "MINE": "", "OTHER": "x"})
    assert found == {"A": "2", "B": "two words # no comment", "OURS": "value", "MINE": ""}
    with pytest.raises(InvalidInput):
        parse_environment([str(tmp_path / "none")], [], {})


def test_limits_change_one_by_one() -> None:
    before = Limits(memory_bytes=64 << 20, swap_bytes=8 << 20, cpu_millis=500, pids=10)
    unchanged = {"memory": None, "memory_swap": None, "cpus": None, "pids": None}
    assert changed_limits(before, **unchanged) == before
    assert changed_limits(before, **{**unchanged, "cpus": 0.0, "pids": 0}) == Limits(memory_bytes=64 << 20, swap_bytes=8 << 20)
    assert changed_limits(before, **{**unchanged, "memory": "0"}) == Limits(cpu_millis=500, pids=10)
    assert changed_limits(before, **{**unchanged, "memory_swap": "96m"}).swap_bytes == 32 << 20
    assert changed_limits(before, **{**unchanged, "memory_swap": "-1", "pids": -1}) == replace(before, swap_bytes=-1, pids=0)
    with pytest.raises(InvalidInput):
        changed_limits(before, **{**unchanged, "memory_swap": "32m"})


CONTAINER = Container(
    id="c0ffee", name="web", image="busybox", tenant=PLATFORM, argv=("sh",), labels={}, status=ContainerStatus.STOPPED,
    created_at=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": ContainerStatus.CREATED}, "Created"),
        ({"exit_code": 3}, "Exited (3)"),
        ({"exit_code": 137, "is_oom_killed": True}, "Exited (137, SIGKILL, out of memory)"),
        ({}, "Exited (?)"),
        ({"status": ContainerStatus.RUNNING, "started_at": 40.0}, "Up 1 minute"),
        ({"status": ContainerStatus.RUNNING, "health": Health(status=HealthStatus.UNHEALTHY)}, "Up 1 minute (unhealthy)"),
    ],
)
def test_the_status_tells_health_and_how_it_ended(changes: dict[str, Any], said: str) -> None:
    assert status_text(replace(CONTAINER, **changes), 100.0) == said


class Image:
    """An engine that knows one image and remembers what it was asked to make."""

    def __init__(self) -> None:
        self.made: list[ContainerSpec] = []

    def image_entrypoint(self, image: str) -> tuple[str, ...]:
        return ("/entry",)

    def image_ports(self, image: str) -> tuple[str, ...]:
        return ("80/tcp", "53/udp")

    def create(self, spec: ContainerSpec) -> Container:
        self.made.append(spec)
        return CONTAINER


def spec_of(*words: str) -> ContainerSpec:
    engine = Image()
    ctx = SimpleNamespace(engine=engine, settings=Settings(), output=Output(quiet=True))
    CliRunner().invoke(create, list(words), obj=ctx, standalone_mode=False, catch_exceptions=False)
    return engine.made[0]


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (("image",), ()),  # entrypoint and command are the image's
        (("image", "a", "-b"), ("/entry", "a", "-b")),
        (("--entrypoint", "/mine now", "image"), ("/mine now",)),  # the image's command does not count then
        (("--entrypoint", "/mine", "image", "a"), ("/mine", "a")),
        (("--entrypoint", "", "image", "a"), ("a",)),
    ],
)
def test_entrypoint_and_command_are_joined_as_docker_does(words: tuple[str, ...], argv: tuple[str, ...]) -> None:
    assert spec_of(*words).argv == argv


def test_every_flag_arrives_in_the_spec(tmp_path: Path) -> None:
    words = f"""
        -i -t --name n -e A=1 -v {tmp_path}:/a --mount type=volume,source=v,target=/b --tmpfs /c -p 81:80 -P -m 64m
        --memory-swap 80m --cpus 0.5 --pids-limit 9 --network bridge -w /w -u app -h host --read-only -l k=v --restart always
        --stop-signal INT --stop-timeout 3 --no-init --health-cmd true --health-interval 5s --health-timeout 1s
        --health-start-period 1m --health-start-interval 2s --health-retries 2 image
    """.split()
    assert spec_of(*words) == ContainerSpec(
        image="image",
        argv=(),
        name="n",
        env={"A": "1"},
        mounts=(Mount(source=tmp_path, target="/a"), Mount(volume="v", target="/b"), Mount(target="/c")),
        ports=(*parse_publish("81:80"), *parse_publish("53/udp")),
        limits=Limits(memory_bytes=64 << 20, swap_bytes=16 << 20, cpu_millis=500, pids=9),
        workdir="/w",
        user="app",
        hostname="host",
        labels={"k": "v"},
        has_terminal=True,
        keeps_stdin=True,
        has_init=False,
        is_read_only=True,
        stop_signal="INT",
        stop_timeout_s=3,
        restart="always",
        health=HealthCheck(
            argv=("/bin/sh", "-c", "true"), interval_s=5, timeout_s=1, start_period_s=60, start_interval_s=2, retries=2
        ),
    )


def test_flags_of_few_containers_arrive_in_the_spec(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# ours\na=1\n\nb=2\n")
    words = f"""
        --add-host db:10.0.0.5 --cap-drop ALL --cap-add chown --dns 10.0.0.53 --dns-search example.com --group-add audio
        --security-opt no-new-privileges --shm-size 1m --sysctl net.core.somaxconn=9 --ulimit nofile=5 --net none -c 512
        --memory-reservation 8m --memory-swap -1 --pids-limit -1 --label-file {tmp_path}/labels -l b=3 --log-opt max-size=2m
        --platform linux/{host_platform()[0]} image
    """.split()
    spec = spec_of(*words)
    assert spec.extras == Extras(
        hosts=(("db", "10.0.0.5"),), ulimits=(Ulimit(name="nofile", soft=5, hard=5),), shm_bytes=1 << 20,
        dropped_capabilities=("CAP_ALL",), added_capabilities=("CAP_CHOWN",), name_servers=("10.0.0.53",),
        search_domains=("example.com",), groups=("audio",), sysctls=(("net.core.somaxconn", "9"),),
    )  # fmt: skip
    assert spec.limits == Limits(swap_bytes=-1, reserved_memory_bytes=8 << 20, reserved_cpu_millis=500)
    assert (spec.network, spec.labels, spec.log_max_bytes) == (NetworkMode.NONE, {"a": "1", "b": "3"}, 2 << 20)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--tty=true", "--init=false", "i"), (True, False, False)),
        (("-it=false", "--no-init", "i"), (False, False, False)),
        (("-ti=1", "i"), (True, True, True)),
        (("--name", "--tty=true", "i"), (False, False, True)),
        (("i", "--tty=true"), (False, False, True)),
    ],
)
def test_switches_take_dockers_booleans(words: tuple[str, ...], found: tuple[bool, bool, bool]) -> None:
    spec = spec_of(*words)
    assert (spec.has_terminal, spec.keeps_stdin, spec.has_init) == found


@pytest.mark.parametrize(
    "words",
    [
        "--network x i", "--restart x i", "-m x i", "--platform plan9/mips i", "--log-opt colour=red i",
        "--label-file /no/such i", "--privileged i", "--device /dev/kvm i", "--pid host i", "--cap-add SYS_ADMIN i",
        "--security-opt seccomp=unconfined i", "--sysctl kernel.panic=1 i", "--dns example.com i", "--group-add a:b i",
        "-c lots i", "--memory-swap 64m i",
    ],
)  # fmt: skip
def test_flags_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(InvalidInput):
        spec_of(*words.split())


def test_without_an_entrypoint_there_must_be_a_command() -> None:
    with pytest.raises(InvalidInput):
        spec_of("--entrypoint", "", "i")


def test_attaching_ends_with_the_containers_exit_code() -> None:
    joined: list[str] = []

    def join(container: str) -> int:
        joined.append(container)
        return 7

    done = CliRunner().invoke(attach, ["web"], obj=SimpleNamespace(engine=SimpleNamespace(attach=join)), standalone_mode=False)
    assert (joined, done.return_value) == (["web"], 7)


@pytest.mark.parametrize("words", [("-a", "web"), ("-ai", "web"), ("-i", "web")])
def test_starting_attached_ends_with_the_containers_exit_code(words: tuple[str, ...]) -> None:
    engine = SimpleNamespace(start_attached=lambda container, *, stdio: len(container) + (stdio.stdin == 0))
    done = CliRunner().invoke(start, list(words), obj=SimpleNamespace(engine=engine), standalone_mode=False)
    assert done.return_value == (4 if "i" in words[0] else 3)


def test_only_one_container_is_started_attached() -> None:
    done = CliRunner().invoke(start, ["-a", "one", "two"], obj=SimpleNamespace(engine=None), standalone_mode=False)
    assert isinstance(done.exception, InvalidInput)


@pytest.mark.parametrize("flag", ["-d", "--detach", "--privileged"])
def test_exec_says_why_it_does_not_take_a_flag(flag: str) -> None:
    done = CliRunner().invoke(execute, [flag, "web", "ls", "-d"], obj=SimpleNamespace(engine=None), standalone_mode=False)
    assert isinstance(done.exception, InvalidInput) and flag in str(done.exception)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), ["80/tcp -> 0.0.0.0:81", "53/udp -> 1.2.3.4:54"]), (("80",), ["0.0.0.0:81"]), (("53/udp",), ["1.2.3.4:54"]),
        (("53",), []),
    ],
)  # fmt: skip
def test_ports_are_listed_or_one_is_looked_up(words: tuple[str, ...], shown: list[str]) -> None:
    ports = (*parse_publish("81:80"), *parse_publish("1.2.3.4:54:53/udp"))
    out = io.StringIO()
    ctx = SimpleNamespace(
        engine=SimpleNamespace(inspect=lambda _name: replace(CONTAINER, ports=ports)), output=Output(out, out)
    )
    done = CliRunner().invoke(port, ["web", *words], obj=ctx, standalone_mode=False)
    assert out.getvalue().splitlines() == shown and isinstance(done.exception, NotFound) is (shown == [])


def test_all_containers_are_tried_and_the_first_error_is_told_at_the_end() -> None:
    tried: list[str] = []

    def take_away(container: str, *, is_forced: bool) -> None:
        tried.append(container)
        if container.startswith("no"):
            raise NotFound(f"There is no container '{container}'")

    out = io.StringIO()
    ctx = SimpleNamespace(engine=SimpleNamespace(remove=take_away), output=Output(out, out))
    done = CliRunner().invoke(remove, ["a", "no1", "b", "no2"], obj=ctx, standalone_mode=False)
    assert isinstance(done.exception, NotFound) and "no1" in str(done.exception)
    assert sorted(tried) == ["a", "b", "no1", "no2"]
    assert [line for line in out.getvalue().splitlines() if line in tried] == ["a", "b"] and "no2" in out.getvalue()
