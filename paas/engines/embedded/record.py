"""What is known about a container, as files in its directory; status is read from the kernel, never stored.

    container.json   what was asked for, written when it is made; rename and update replace it
    process.json     pids of the last start, with start times against reuse, and the boot they belong to
    health.json      results of the health checks since the last start
    stopped          there if the last end was asked for
    last/exit, oom   written by conmon when it ended
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from paas.model.container import (
    Container,
    ContainerStatus,
    Extras,
    Limits,
    Mount,
    NetworkMode,
    PortMapping,
    Tenant,
    Ulimit,
)  # fmt: skip
from paas.model.health import Health, HealthCheck, HealthResult, HealthStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """container.json: what a container is, from one start to the next."""

    id: str
    name: str
    image: str
    layers: tuple[str, ...]
    tenant: Tenant
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    workdir: str
    hostname: str
    address: str
    network: NetworkMode
    ports: tuple[PortMapping, ...]
    mounts: tuple[Mount, ...]
    limits: Limits
    labels: Mapping[str, str]
    has_terminal: bool
    keeps_stdin: bool
    has_init: bool
    is_read_only: bool
    stop_signal: int
    stop_timeout_s: float
    log_path: Path | None
    log_max_bytes: int
    created_at: float
    is_ephemeral: bool = False
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    health: HealthCheck | None = None
    restart: str = "no"
    is_removed_at_end: bool = False
    extras: Extras = Extras()


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """process.json: the processes of the last start."""

    pid: int
    pid_ticks: int
    conmon_pid: int
    conmon_ticks: int
    boot: str
    started_at: float


def write_record(home: Path, record: Record) -> None:
    """Write container.json; a container exists from here on."""
    _write(home / "container.json", asdict(record))


def read_record(home: Path) -> Record | None:
    """Read container.json; None when there is none (never made, half made or removed)."""
    found = _read(home / "container.json")
    if found is None:
        return None
    found["tenant"] = Tenant(**found["tenant"])
    found["limits"] = Limits(**found["limits"])
    found["ports"] = tuple(PortMapping(**port) for port in found["ports"])
    found["mounts"] = tuple(
        Mount(**{**mount, "source": Path(mount["source"]) if mount["source"] else None}) for mount in found["mounts"]
    )
    for name in ("layers", "argv", "groups", "exposed_ports"):
        found[name] = tuple(found.get(name, ()))
    check = found.get("health")
    found["health"] = HealthCheck(**{**check, "argv": tuple(check["argv"])}) if check else None
    found["extras"] = _extras(found.get("extras", {}))
    found["network"] = NetworkMode(found["network"])
    found["log_path"] = Path(found["log_path"]) if found["log_path"] else None
    return Record(**found)


def _extras(found: Mapping[str, Any]) -> Extras:
    lists: dict[str, Any] = {name: tuple(value) for name, value in found.items() if name != "shm_bytes"}
    lists |= {name: tuple(map(tuple, found.get(name, ()))) for name in ("hosts", "sysctls")}
    lists["ulimits"] = tuple(Ulimit(**ulimit) for ulimit in found.get("ulimits", ()))
    return Extras(shm_bytes=found.get("shm_bytes", 0), **lists)


def write_processes(home: Path, processes: Processes) -> None:
    """Write process.json: the container was started."""
    _write(home / "process.json", asdict(processes))


def read_processes(home: Path) -> Processes | None:
    """Read process.json; None when the container was never started."""
    found = _read(home / "process.json")
    return Processes(**found) if found is not None else None


def write_health(home: Path, health: Health, started_at: float) -> None:
    """Write health.json for the start at this time."""
    _write(home / "health.json", {**asdict(health), "started_at": started_at})


def read_health(home: Path, record: Record, started_at: float) -> Health:
    """Read what the checks since that start have found; `starting` before the first."""
    if record.health is None:
        return Health()
    found = _read(home / "health.json")
    if found is None or found["started_at"] != started_at:
        return Health(status=HealthStatus.STARTING)
    results = tuple(HealthResult(**result) for result in found["results"])
    return Health(status=HealthStatus(found["status"]), failures=found["failures"], results=results)


def mark_stopped(home: Path) -> None:
    """Remember that the end which comes now was asked for."""
    with contextlib.suppress(OSError):  # removed meanwhile, or the disk is full: it is not worth a failure
        (home / "stopped").touch()


def forget_start(home: Path) -> None:
    """Remove what the last start left, before the next one."""
    for name in ("process.json", "health.json", "stopped", "last/exit", "last/oom", "oom", "pid", "conmon.pid"):
        (home / name).unlink(missing_ok=True)
    (home / "last").mkdir(exist_ok=True)


def container_from(home: Path, record: Record) -> Container:
    """Return the container as it is now."""
    processes = read_processes(home)
    exit_code, finished_at = read_exit(home)
    is_running = processes is not None and exit_code is None and is_alive(processes)
    is_held = processes is None or not is_running or start_ticks(processes.conmon_pid) == processes.conmon_ticks
    status = ContainerStatus.CREATED
    if processes is not None or exit_code is not None:
        status = ContainerStatus.RUNNING if is_running else ContainerStatus.STOPPED
    return Container(
        id=record.id,
        name=record.name,
        image=record.image,
        tenant=record.tenant,
        argv=record.argv,
        labels=record.labels,
        status=status,
        created_at=record.created_at,
        pid=processes.pid if processes is not None and is_running else 0,
        address=record.address,
        started_at=processes.started_at if processes is not None else 0.0,
        finished_at=finished_at,
        exit_code=exit_code,
        is_oom_killed=(home / "last/oom").exists() or (home / "oom").exists(),
        ports=record.ports,
        log_path=record.log_path,
        is_held=is_held,
        limits=record.limits,
        mounts=record.mounts,
        exposed_ports=record.exposed_ports,
        network=record.network,
        hostname=record.hostname,
        user=record.user,
        workdir=record.workdir,
        stop_signal=record.stop_signal,
        stop_timeout_s=record.stop_timeout_s,
        restart=record.restart,
        is_removed_at_end=record.is_removed_at_end,
        is_stopped_by_user=(home / "stopped").exists(),
        health_check=record.health,
        health=read_health(home, record, processes.started_at) if processes is not None else Health(),
    )


def read_exit(home: Path) -> tuple[int | None, float]:
    """Return the exit code and when it was written, or None: it runs, never ran, or its conmon was killed."""
    try:
        with (home / "last/exit").open() as stream:
            return int(stream.read()), os.fstat(stream.fileno()).st_mtime
    except (FileNotFoundError, ValueError):  # conmon creates it before it writes
        return None, 0.0


def is_alive(processes: Processes) -> bool:
    """Say whether the init of the last start still runs."""
    return processes.boot == boot_id() and start_ticks(processes.pid) == processes.pid_ticks


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


@cache
def boot_id() -> str:
    """Return what names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file in one step, without fsync: after a power cut the container is not running and is made anew."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as stream:
        json.dump(content, stream, default=str)
    temporary.rename(path)


def _read(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found
    return None
