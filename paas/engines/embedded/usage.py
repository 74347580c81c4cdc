"""What a container has used and what runs in it, read from its cgroups (v1 and v2), its link and /proc. Reads only.

Source: cgroup-v2.rst; cgroup-v1/cpuacct.rst, memory.rst, pids.rst, blkio-controller.rst; proc(5).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from paas.engines import InnerProcess, Usage
from paas.engines.embedded import cgroups
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.record import Record
from paas.network.ipam import veth_name

#: v1 writes "no limit" as the largest number of pages.
_UNLIMITED_BYTES = 1 << 62
_NS, _US = 1_000_000_000, 1_000_000


def read_usage(ground: Ground, record: Record) -> Usage:
    """Read all counters of a container; what this machine does not count is 0."""
    found, cgroup = ground.hierarchies, ground.cgroup(record.tenant.number, record.id)
    usage = usage_v2(_read_v2(found, cgroup)) if found.is_pure_v2 else usage_v1(_read_v1(found, cgroup))
    received, sent = _traffic(veth_name(ground.settings.network_prefix, record.id))
    return replace(
        usage, at=time.time(), received_bytes=received, sent_bytes=sent,
        memory_limit_bytes=usage.memory_limit_bytes or record.limits.memory_bytes,
    )  # fmt: skip


def has_hit_pids_limit(ground: Ground, record: Record) -> bool:
    """Say whether a process could not be started because there were as many as the container may have."""
    found, cgroup = ground.hierarchies, ground.cgroup(record.tenant.number, record.id).lstrip("/")
    roots = [found.unified] if found.is_pure_v2 else [root for name, root in found.controllers if name == "pids"]
    texts = [_texts(root / cgroup, ("pids.events",)) for root in roots if root is not None]
    return any(_fields(text.get("pids.events", "")).get("max", 0) for text in texts)


def usage_v2(files: Mapping[str, str]) -> Usage:
    """Return the counters from the texts of a v2 cgroup's files by name. Pure."""
    memory, io = _fields(files.get("memory.stat", "")), files.get("io.stat", "")
    return Usage(
        at=0,
        cpu_s=_fields(files.get("cpu.stat", "")).get("usage_usec", 0) / _US,
        memory_bytes=max(_number(files.get("memory.current", "")) - memory.get("inactive_file", 0), 0),
        memory_limit_bytes=_number(files.get("memory.max", "")),
        read_bytes=_io_v2(io, "rbytes"),
        written_bytes=_io_v2(io, "wbytes"),
        pids=_number(files.get("pids.current", "")),
        pids_limit=_number(files.get("pids.max", "")),
    )


def usage_v1(files: Mapping[str, str]) -> Usage:
    """Return the counters from the texts of the files of the v1 controllers by name. Pure."""
    memory, io = _fields(files.get("memory.stat", "")), files.get("blkio.throttle.io_service_bytes_recursive", "")
    limit = _number(files.get("memory.limit_in_bytes", ""))
    return Usage(
        at=0,
        cpu_s=_number(files.get("cpuacct.usage", "")) / _NS,
        memory_bytes=max(_number(files.get("memory.usage_in_bytes", "")) - memory.get("total_inactive_file", 0), 0),
        memory_limit_bytes=0 if limit >= _UNLIMITED_BYTES else limit,
        read_bytes=_io_v1(io, "Read"),
        written_bytes=_io_v1(io, "Write"),
        pids=_number(files.get("pids.current", "")),
        pids_limit=_number(files.get("pids.max", "")),
    )


def read_processes_of(ground: Ground, record: Record) -> tuple[InnerProcess, ...]:
    """Return what runs in a container, oldest first."""
    cgroup = ground.cgroup(record.tenant.number, record.id)
    base = ground.tenancy.uid_base(record.tenant)
    found = [_process(pid, base) for pid in cgroups.members(ground.hierarchies, cgroup)]
    return tuple(process for process in found if process is not None)


def _process(pid: int, uid_base: int) -> InnerProcess | None:
    directory = Path("/proc", str(pid))
    try:
        uid = directory.stat().st_uid
        fields = (directory / "stat").read_text().rpartition(")")[2].split()
        argv = tuple((directory / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
        name = (directory / "comm").read_text().strip()
    except OSError:
        return None  # it has ended meanwhile
    return InnerProcess(
        pid=pid,
        parent=int(fields[1]),
        user=max(uid - uid_base, 0),
        state=fields[0],
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        memory_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        argv=argv or (f"[{name}]",),
    )


_FILES_V2 = ("cpu.stat", "memory.current", "memory.stat", "memory.max", "io.stat", "pids.current", "pids.max")
_FILES_V1 = {
    "cpuacct": ("cpuacct.usage",),
    "memory": ("memory.usage_in_bytes", "memory.stat", "memory.limit_in_bytes"),
    "blkio": ("blkio.throttle.io_service_bytes_recursive",),
    "pids": ("pids.current", "pids.max"),
}


def _read_v2(found: cgroups.Hierarchies, cgroup: str) -> dict[str, str]:
    assert found.unified is not None
    return _texts(found.unified / cgroup.lstrip("/"), _FILES_V2)


def _read_v1(found: cgroups.Hierarchies, cgroup: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for controller, root in found.controllers:
        texts |= _texts(root / cgroup.lstrip("/"), _FILES_V1.get(controller, ()))
    return texts


def _texts(directory: Path, names: tuple[str, ...]) -> dict[str, str]:
    texts = {}
    for name in names:
        with contextlib.suppress(OSError):  # not counted here, or the container has just ended
            texts[name] = (directory / name).read_text()
    return texts


def _number(text: str) -> int:
    """Return the number; 0 for `max` and for nothing."""
    plain = text.strip()
    return int(plain) if plain.isdecimal() else 0


def _fields(text: str) -> dict[str, int]:
    """Parse lines of a name and a number."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def _io_v2(text: str, name: str) -> int:
    """Sum one counter over all devices: `8:0 rbytes=1 wbytes=2 rios=3 ...`."""
    pairs = (word.partition("=") for line in text.splitlines() for word in line.split()[1:])
    return sum(int(value) for key, _, value in pairs if key == name and value.isdecimal())


def _io_v1(text: str, kind: str) -> int:
    """Sum one kind over all devices: `8:0 Read 1`."""
    rows = (line.split() for line in text.splitlines())
    return sum(int(row[2]) for row in rows if len(row) == 3 and row[1] == kind)


def _traffic(veth: str) -> tuple[int, int]:
    """Return what the container received and sent: the host's end of its link has sent and received that."""
    directory = Path("/sys/class/net", veth, "statistics")
    try:
        return int((directory / "tx_bytes").read_text()), int((directory / "rx_bytes").read_text())
    except OSError:
        return 0, 0
