from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from paas.cli.container import attach, parse_publish, parse_size, parse_volume
from paas.errors import InvalidInput
from paas.model.container import Mount, PortMapping


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1024", 1024), ("64k", 65536), ("256m", 268435456), ("1.5GB", 1610612736), ("10b", 10)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1m", "1t", "1 m"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_size(text)


def test_volumes(tmp_path: Path) -> None:
    assert parse_volume(f"{tmp_path}:/data:ro") == Mount(source=tmp_path, target="/data", is_read_only=True)
    for wrong in ("/nowhere-at-all:/data", f"{tmp_path}:data", f"{tmp_path}:/data:xx", "data:/data", str(tmp_path)):
        with pytest.raises(InvalidInput):
            parse_volume(wrong)


def test_published_ports() -> None:
    assert parse_publish("8080:80") == PortMapping(host_port=8080, container_port=80)
    assert parse_publish("127.0.0.1:53:5353/udp") == PortMapping(
        host_port=53, container_port=5353, host_address="127.0.0.1", protocol="udp"
    )
    for wrong in ("80", "0:80", "80:70000", "a:b", "1:2:3:4", "80:80/sctp"):
        with pytest.raises(InvalidInput):
            parse_publish(wrong)


def test_attaching_ends_with_the_containers_exit_code() -> None:
    joined: list[str] = []

    def join(container: str) -> int:
        joined.append(container)
        return 7

    done = CliRunner().invoke(attach, ["web"], obj=SimpleNamespace(engine=SimpleNamespace(attach=join)), standalone_mode=False)
    assert (joined, done.return_value) == (["web"], 7)
