"""What a resource may be, and what follows for a process type."""

from __future__ import annotations

import pytest

from paas.errors import InvalidInput
from paas.model.container import Limits
from paas.model.resources import MIB, limits_of, parse_resource, refuse_contradictions
from paas.settings import Settings


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("memory", "512", "512"), ("memory", "512m", "512"), ("memory", "512MB", "512"), ("memory", "2g", "2048"),
        ("memory", "4194305b", "5"), ("memory", "10240k", "10"), ("memory", "0", ""), ("memory", "", ""),
        ("memory-swap", "-1", "-1"), ("memory-swap", "1g", "1024"), ("memory", "-1", ""),
        ("cpu", "0.5", "0.5"), ("cpu", "2", "2"), ("cpu", "0", ""), ("cpu", "1.250", "1.25"), ("pids", "0100", "100"),
    ],
)  # fmt: skip
def test_how_a_resource_is_kept(name: str, text: str, kept: str) -> None:
    assert parse_resource(name, text) == kept


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory", "lots"), ("memory", "1"), ("memory", "-5"), ("memory", "1.5g"), ("memory", "5t"), ("memory", "1" * 12),
        ("cpu", "-1.5"), ("cpu", "0.001"), ("cpu", "half"), ("cpu", "\u0663"), ("pids", "many"), ("pids", "1.5"), ("cpu", "1e3"),
    ],
)  # fmt: skip
def test_what_is_no_resource(name: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_resource(name, text)


PROPERTIES = {
    "resource.limit.memory": "64", "resource.limit.web.memory": "128", "resource.limit.web.memory-swap": "192",
    "resource.limit.cpu": "0.5", "resource.reserve.memory": "32", "resource.reserve.worker.cpu": "2", "resource.limit.pids": "99",
    "resource.limit.build.memory": "300",
}  # fmt: skip


def test_a_type_has_its_own_limits_or_those_of_all() -> None:
    web, worker, build = (limits_of(PROPERTIES, name, Settings(pids=7, memory_mb=8)) for name in ("web", "worker", "build"))
    shared = {"cpu_millis": 500, "pids": 99, "reserved_memory_bytes": 32 * MIB}
    assert web == Limits(memory_bytes=128 * MIB, swap_bytes=64 * MIB, **shared)
    assert worker == Limits(memory_bytes=64 * MIB, reserved_cpu_millis=2000, **shared)
    assert build == Limits(memory_bytes=300 * MIB, pids=7)
    assert limits_of({}, "web", Settings(pids=7, memory_mb=8)) == Limits(memory_bytes=8 * MIB, pids=7)


def test_endless_swap() -> None:
    properties = {"resource.limit.memory": "64", "resource.limit.memory-swap": "-1"}
    assert limits_of(properties, "web", Settings()).swap_bytes == -1


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"resource.limit.memory": "64", "resource.reserve.web.memory": "65"}, "cannot be reserved"),
        ({"resource.limit.web.memory-swap": "64"}, "give --memory, too"),
        ({"resource.limit.memory": "64", "resource.limit.memory-swap": "63"}, "memory and swap together"),
    ],
)
def test_contradictions_are_refused(properties: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        refuse_contradictions(properties, "web")
    assert problem in caught.value.message + caught.value.remedy


def test_what_fits_is_accepted() -> None:
    refuse_contradictions(PROPERTIES, "web")
    refuse_contradictions({"resource.limit.memory": "64", "resource.limit.memory-swap": "-1"}, "web")
