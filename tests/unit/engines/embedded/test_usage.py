"""Counters and limits in the words of both kinds of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.engines import Usage
from paas.engines.embedded.cgroups import Hierarchies
from paas.engines.embedded.limits import settings_v1, settings_v2, write_limits
from paas.engines.embedded.usage import usage_v1, usage_v2
from paas.model.container import Limits

V2 = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
    "memory.current": "1000000\n",
    "memory.stat": "anon 500\nfile 600\ninactive_file 400000\n",
    "memory.max": "67108864\n",
    "io.stat": "8:0 rbytes=100 wbytes=20 rios=3 wios=1 dbytes=0 dios=0\n253:0 rbytes=11 wbytes=2 rios=1 wios=1\n",
    "pids.current": "7\n",
    "pids.max": "max\n",
}
V1 = {
    "cpuacct.usage": "2500000000\n",
    "memory.usage_in_bytes": "1000000\n",
    "memory.stat": "cache 5\ninactive_file 3\ntotal_inactive_file 400000\n",
    "memory.limit_in_bytes": "67108864\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 100\n8:0 Write 20\n8:0 Total 120\n9:0 Read 11\n9:0 Write 2\n",
    "pids.current": "7\n",
    "pids.max": "max\n",
}
EXPECTED = Usage(
    at=0, cpu_s=2.5, memory_bytes=600_000, memory_limit_bytes=64 << 20, read_bytes=111, written_bytes=22, pids=7
)  # fmt: skip


def test_both_kinds_of_control_groups_tell_the_same() -> None:
    assert usage_v2(V2) == usage_v1(V1) == EXPECTED


def test_what_is_not_counted_or_not_limited_is_zero() -> None:
    assert usage_v2({"memory.max": "max\n"}) == usage_v1({"memory.limit_in_bytes": "9223372036854771712\n"}) == Usage(at=0)


@pytest.mark.parametrize(
    ("limits", "v1", "v2"),
    [
        (
            Limits(),
            ["-1", "-1", "-1", "1024", "100000", "-1", "max"], ["max", "max", "0", "100", "max 100000", "max"],
        ),
        (
            Limits(memory_bytes=100, swap_bytes=20, cpu_millis=1500, pids=9, reserved_memory_bytes=7, reserved_cpu_millis=500),
            ["100", "120", "7", "512", "100000", "150000", "9"], ["100", "20", "7", "20", "150000 100000", "9"],
        ),
        (
            Limits(memory_bytes=100, swap_bytes=-1, cpu_millis=1, reserved_cpu_millis=1),
            ["100", "-1", "-1", "2", "100000", "1000", "max"], ["100", "max", "0", "1", "1000 100000", "max"],
        ),
    ],
)  # fmt: skip
def test_every_limit_is_named_also_when_it_is_lifted(limits: Limits, v1: list[str], v2: list[str]) -> None:
    assert [s.value for s in settings_v1(limits)] == v1
    assert [s.value for s in settings_v2(limits)] == v2


def test_limits_are_written_to_the_one_tree_or_to_each_controllers_own(tmp_path: Path) -> None:
    for tree in ("v2", "memory", "cpu", "pids"):
        (tmp_path / tree / "c").mkdir(parents=True)
    for file in ("v2/c/memory.max", "v2/c/cpu.max", "v2/c/pids.max", "memory/c/memory.limit_in_bytes", "pids/c/pids.max"):
        (tmp_path / file).touch()
    limits = Limits(memory_bytes=100, pids=3)
    write_limits(Hierarchies(unified=tmp_path / "v2"), "/c", limits)
    named = tuple((name, tmp_path / name) for name in ("memory", "cpu", "pids"))
    write_limits(Hierarchies(unified=None, controllers=named), "/c", limits)
    written = {str(p.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {
        "v2/c/memory.max": "100", "v2/c/cpu.max": "max 100000", "v2/c/pids.max": "3",
        "memory/c/memory.limit_in_bytes": "100", "pids/c/pids.max": "3",
    }  # fmt: skip
