"""Containers: what is asked for (ContainerSpec) and what is there (Container)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from paas.model.process import ProcessId


class ContainerStatus(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Who a container belongs to: fixes uid range, network, bridge and cgroup. Number 0 is the platform itself."""

    name: str
    number: int


PLATFORM = Tenant(name="platform", number=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource limits; 0 means no limit of its own.

    `swap_bytes` comes on top of the memory, -1 for as much as there is. What is reserved is kept longest when others want it.
    """

    memory_bytes: int = 0
    swap_bytes: int = 0
    cpu_millis: int = 0
    pids: int = 0
    reserved_memory_bytes: int = 0
    reserved_cpu_millis: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory or file of the host seen inside.

    With `is_mapped` the host's uid 0 appears as the container's uid 0 (an idmapped mount); without it host ids show
    as they are. An empty `source` is a tmpfs of `size_bytes`.
    """

    target: str
    source: Path | None = None
    is_read_only: bool = False
    is_mapped: bool = True
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """A port of the host that leads to a port of the container."""

    host_port: int
    container_port: int
    host_address: str = "0.0.0.0"
    protocol: str = "tcp"


class NetworkMode(StrEnum):
    TENANT = "tenant"  # own namespace on the tenant's bridge
    NONE = "none"  # own namespace with loopback only
    HOST = "host"  # the host's namespace: builds that must reach a proxy on the host's loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """All that is needed to make a container. `argv` is complete (entrypoint and command joined).

    `image` is an image id or reference in the store, `user` is `name|uid[:group|gid]`, '' the image's own.
    `env` wins over the image's ENV. Labels must hold only short strings.
    """

    image: str
    argv: tuple[str, ...]
    tenant: Tenant = PLATFORM
    name: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    user: str = ""
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    network: NetworkMode = NetworkMode.TENANT
    ports: tuple[PortMapping, ...] = ()
    limits: Limits = Limits()
    has_terminal: bool = False
    keeps_stdin: bool = False
    has_init: bool = True
    is_read_only: bool = False
    stop_signal: str = ""
    stop_timeout_s: float = 30.0
    log_path: Path | None = None
    log_max_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container as the engine finds it. `pid` is the host pid of its init, 0 unless running.

    Not `is_held`: it runs, but nobody reads what it writes and nobody will learn how it ends.
    """

    id: str
    name: str
    image: str
    tenant: Tenant
    argv: tuple[str, ...]
    labels: Mapping[str, str]
    status: ContainerStatus
    created_at: float
    pid: int = 0
    address: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int | None = None
    is_oom_killed: bool = False
    ports: tuple[PortMapping, ...] = ()
    log_path: Path | None = None
    is_held: bool = True

    @property
    def is_running(self) -> bool:
        return self.status is ContainerStatus.RUNNING


# Labels that the platform puts on containers of apps.
LABEL_APP, LABEL_RELEASE, LABEL_TYPE, LABEL_INDEX, LABEL_KIND = (
    "paas.app", "paas.release", "paas.type", "paas.index", "paas.kind",
)  # fmt: skip
#: Values of LABEL_KIND.
KIND_PROCESS, KIND_RUN, KIND_TASK = "process", "run", "task"


def process_of(container: Container) -> ProcessId:
    """Return which process of the formation a container is; index 0 for one that is none."""
    index = container.labels.get(LABEL_INDEX, "")
    return ProcessId(type=container.labels.get(LABEL_TYPE, ""), index=int(index) if index.isdecimal() else 0)
