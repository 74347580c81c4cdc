from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.oci.manifest import Healthcheck, HistoryEntry, ImageConfig, host_platform

FULL = ImageConfig(
    env=(("PATH", "/bin"), ("EMPTY", ""), ("WITH_EQUALS", "a=b")),
    entrypoint=("/entry", "two words"),
    cmd=("run",),
    workdir="/app",
    user="web:web",
    exposed_ports=("5000/tcp", "53/udp"),
    volumes=("/data",),
    labels=(("maintainer", "me"),),
    stop_signal="SIGINT",
    shell=("/bin/bash", "-c"),
    healthcheck=Healthcheck(test=("CMD-SHELL", "true"), interval_s=1.5, timeout_s=3, start_period_s=5, retries=2),
    onbuild=("RUN make",),
    author="me",
    architecture="arm64",
    variant="v8",
    history=(
        HistoryEntry(created_by="RUN make", created_at=1_700_000_000.25),
        HistoryEntry(created_by="CMD run", is_empty_layer=True),
    ),
)


def test_a_full_config_has_docker_s_json() -> None:
    assert FULL.to_oci(diff_ids=["sha256:1"], created_at=1_700_000_000) == {
        "created": "2023-11-14T22:13:20.000000Z",
        "author": "me",
        "architecture": "arm64",
        "variant": "v8",
        "os": "linux",
        "config": {
            "User": "web:web",
            "ExposedPorts": {"5000/tcp": {}, "53/udp": {}},
            "Env": ["PATH=/bin", "EMPTY=", "WITH_EQUALS=a=b"],
            "Entrypoint": ["/entry", "two words"],
            "Cmd": ["run"],
            "Volumes": {"/data": {}},
            "WorkingDir": "/app",
            "Labels": {"maintainer": "me"},
            "StopSignal": "SIGINT",
            "Shell": ["/bin/bash", "-c"],
            "OnBuild": ["RUN make"],
            "Healthcheck": {
                "Test": ["CMD-SHELL", "true"], "Interval": 1_500_000_000, "Timeout": 3_000_000_000,
                "StartPeriod": 5_000_000_000, "Retries": 2,
            },
        },
        "history": [
            {"created": "2023-11-14T22:13:20.250000Z", "created_by": "RUN make"},
            {"created_by": "CMD run", "empty_layer": True},
        ],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
    }  # fmt: skip


def test_a_full_config_comes_back_from_its_json() -> None:
    assert ImageConfig.from_oci(FULL.to_oci()) == FULL


def test_nulls_and_absent_fields_mean_not_set() -> None:
    document = {"architecture": "amd64", "os": "linux", "config": {"Env": None, "Cmd": None, "Entrypoint": None, "Volumes": None}}
    assert ImageConfig.from_oci(document) == ImageConfig(architecture="amd64", variant="")


@pytest.mark.parametrize(
    "document", [[], "text", {"config": [1]}, {"config": {"Env": [1]}}, {"history": "x"}, {"config": {"Labels": [1]}}]
)
def test_malformed_config_is_refused(document: Any) -> None:
    with pytest.raises(InvalidInput):
        ImageConfig.from_oci(document)


_words = st.text(max_size=12)
_keys = st.text(st.characters(exclude_characters="=\0"), min_size=1, max_size=8)


@given(env=st.dictionaries(_keys, _words), cmd=st.lists(_words), labels=st.dictionaries(_words, _words), user=_words)
def test_any_config_comes_back_from_its_json(env: dict[str, str], cmd: list[str], labels: dict[str, str], user: str) -> None:
    config = ImageConfig(env=tuple(env.items()), cmd=tuple(cmd), labels=tuple(labels.items()), user=user)
    assert ImageConfig.from_oci(config.to_oci()) == config


@pytest.mark.parametrize(
    ("machine", "expected"), [("x86_64", ("amd64", "")), ("aarch64", ("arm64", "v8")), ("loong64", ("loong64", ""))]
)
def test_platforms_have_go_s_names(machine: str, expected: tuple[str, str]) -> None:
    assert host_platform(machine) == expected
