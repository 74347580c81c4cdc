"""Flags of `docker run` that an app's containers take."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.model.container import ContainerSpec, Extras, Limits, Mount, Ulimit
from paas.model.dockeroptions import apply_options, options_for, parse_container_options

SPEC = ContainerSpec(
    image="i", argv=("x",), env={"A": "config", "PORT": "5000"}, labels={"paas.app": "shop"},
    limits=Limits(memory_bytes=9, pids=7), hostname="web.1",
)  # fmt: skip


def applied(text: str) -> ContainerSpec:
    return apply_options(SPEC, parse_container_options(text))


def test_nothing_changes_nothing() -> None:
    assert applied("") == SPEC


def test_every_flag_finds_its_place(tmp_path) -> None:
    spec = applied(f"""
        -v {tmp_path}:/data:ro --volume cache:/cache --mount type=tmpfs,target=/a --tmpfs /b:size=1m
        -e A=option --env "B=two words" -e PORT=1 -e DYNO=me -e PAAS_APP=other
        -m 64m --memory-swap=96m --cpus 1.5 --pids-limit 9
        --add-host db:10.0.0.5 --add-host six=[::1] --ulimit nofile=10:20 --ulimit nproc=5 --shm-size 1g
        --read-only --init --cap-drop NET_RAW --cap-drop=cap_mknod --hostname h -l key=value
        -u 1000:1000 -w /srv --stop-signal INT --cap-add CHOWN --dns 10.0.0.53 --dns-search=. --group-add 44
        --sysctl net.core.somaxconn=9 --security-opt no-new-privileges:true --memory-reservation 8m --cpu-shares 512
    """)
    assert spec.mounts == (
        Mount(source=tmp_path, target="/data", is_read_only=True), Mount(volume="cache", target="/cache"),
        Mount(target="/a"), Mount(target="/b", size_bytes=1 << 20),
    )  # fmt: skip
    assert spec.env == {"A": "option", "B": "two words", "PORT": "5000"}
    assert spec.limits == Limits(
        memory_bytes=64 << 20, swap_bytes=32 << 20, cpu_millis=1500, pids=9,
        reserved_memory_bytes=8 << 20, reserved_cpu_millis=500,
    )  # fmt: skip
    assert spec.extras == Extras(
        hosts=(("db", "10.0.0.5"), ("six", "::1")), shm_bytes=1 << 30, dropped_capabilities=("CAP_NET_RAW", "CAP_MKNOD"),
        ulimits=(Ulimit(name="nofile", soft=10, hard=20), Ulimit(name="nproc", soft=5, hard=5)),
        added_capabilities=("CAP_CHOWN",), name_servers=("10.0.0.53",), search_domains=(".",), groups=("44",),
        sysctls=(("net.core.somaxconn", "9"),),
    )  # fmt: skip
    assert (spec.hostname, spec.user, spec.workdir, spec.stop_signal) == ("h", "1000:1000", "/srv", "INT")
    assert spec.is_read_only
    assert spec.labels == {"paas.app": "shop", "key": "value"}


@pytest.mark.parametrize(
    "text",
    [
        "--privileged", "--network host", "-p 80:80", "--cap-add SYS_ADMIN", "--device /dev/kvm", "--pid host", "-v", "loose",
        "--security-opt seccomp=unconfined", "--add-host db", "--add-host 'a b:10.0.0.1'", "--add-host db:nowhere", "-e KEY",
        "--ulimit nofile", "--ulimit files=3", "--cpus half", "--cpus=-1", "--pids-limit x", "--memory lots", "-l paas.app=x",
        "--cap-drop 'a b'", "--label", "'", "-v /no/such/directory:/x", "-v relative",
    ],
)  # fmt: skip
def test_what_is_not_taken_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_container_options(text)


def test_an_unknown_flag_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_container_options("--privileged")
    assert "--volume" in caught.value.remedy and "--ulimit" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "reaches"), [("-v /tmp:/x", True), ("-v data:/x", True), ("-v /x", False), ("--tmpfs /x", False), ("-e A=1", False)]
)
def test_what_reaches_the_machine_is_known(text: str, reaches: bool) -> None:
    assert parse_container_options(text).reaches_host is reaches


def test_a_type_has_options_of_its_own_behind_those_of_all() -> None:
    properties = {
        "docker-options.deploy": "--shm-size 1m\n-e A=1", "docker-options.deploy.web": "-e A=2", "docker-options.run": "-e A=3",
    }  # fmt: skip
    web, worker, run = (options_for(properties, *of) for of in (("deploy", "web"), ("deploy", "worker"), ("run",)))
    assert [options.last("--env") for options in (web, worker, run)] == ["A=2", "A=1", "A=3"]
    assert web.last("--shm-size") == "1m"


@given(st.text(max_size=100))
def test_any_text_is_options_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        parse_container_options(text)
