"""Containers: what is asked for (ContainerSpec) and what is there (Container)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from signal import SIGRTMAX, SIGRTMIN, Signals

from paas.errors import InvalidInput
from paas.model.health import Health, HealthCheck
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
    """A directory or file of the host, a volume or a tmpfs seen inside.

    With `is_mapped` the host's uid 0 appears as the container's uid 0 (an idmapped mount); without it host ids show
    as they are. A `volume` is kept by the engine under its name, made when it is missing; a new one gets what the image has
    at the target if `is_copied`. With neither `source` nor `volume` it is a tmpfs of `size_bytes` and `mode`, or, if
    `is_anonymous`, a volume that goes with the container.
    """

    target: str
    source: Path | None = None
    is_read_only: bool = False
    is_mapped: bool = True
    size_bytes: int = 0
    mode: int = 0o1777
    volume: str = ""
    is_anonymous: bool = False
    is_copied: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """A port of the host that leads to a port of the container. In a ContainerSpec host port 0 stands for a free one."""

    host_port: int
    container_port: int
    host_address: str = "0.0.0.0"
    protocol: str = "tcp"


class NetworkMode(StrEnum):
    TENANT = "tenant"  # own namespace on the tenant's bridge
    NONE = "none"  # own namespace with loopback only
    HOST = "host"  # the host's namespace: builds that must reach a proxy on the host's loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """A resource limit of processes, by its name in lower case: `nofile`, `nproc`, ..."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What few containers need: names in /etc/hosts, ulimits, the size of /dev/shm (0: 64 MiB), capabilities to leave out and
    to keep of those, name servers in place of the machine's, more groups of its user, kernel settings of its namespaces."""

    hosts: tuple[tuple[str, str], ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_bytes: int = 0
    dropped_capabilities: tuple[str, ...] = ()
    added_capabilities: tuple[str, ...] = ()
    name_servers: tuple[str, ...] = ()
    search_domains: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """All that is needed to make a container. `argv` is complete (entrypoint and command joined).

    `image` is an image id or reference in the store, `user` is `name|uid[:group|gid]`, '' the image's own.
    `env` wins over the image's ENV. Labels must hold only short strings. A VOLUME of the image that no mount covers gets an
    anonymous volume. `health` is laid over the image's HEALTHCHECK. `restart` is a restart policy as text: the supervisor
    looks after containers that have one.
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
    health: HealthCheck | None = None
    restart: str = "no"
    is_removed_at_end: bool = False
    extras: Extras = Extras()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container as the engine finds it. `pid` is the host pid of its init, 0 unless running.

    Not `is_held`: it runs, but nobody reads what it writes and nobody will learn how it ends.
    `is_stopped_by_user` says that its last end was asked for (stop, kill); `health_check` None means that it has none.
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
    limits: Limits = Limits()
    mounts: tuple[Mount, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    network: NetworkMode = NetworkMode.TENANT
    hostname: str = ""
    user: str = ""
    workdir: str = ""
    stop_signal: int = 0
    stop_timeout_s: float = 0.0
    restart: str = "no"
    is_removed_at_end: bool = False
    is_stopped_by_user: bool = False
    health_check: HealthCheck | None = None
    health: Health = Health()

    @property
    def is_running(self) -> bool:
        return self.status is ContainerStatus.RUNNING

    @property
    def exit_signal(self) -> str:
        """Return the name of the signal that ended it, e.g. SIGKILL; '' when none did."""
        return signal_name(self.exit_code - 128) if self.exit_code is not None and self.exit_code > 128 else ""

    @property
    def exit_reason(self) -> str:
        """Return why it is not running, as a predicate: "exited with status 3", "was killed by SIGSEGV"."""
        if self.is_oom_killed:
            limit = f" ({self.limits.memory_bytes >> 20} MiB)" if self.limits.memory_bytes else ""
            return f"was killed because it used more memory than it may{limit}"
        if self.exit_code is None:
            return "ended"
        return f"was killed by {self.exit_signal}" if self.exit_signal else f"exited with status {self.exit_code}"


def signal_number(name: str) -> int:
    """Parse `SIGTERM`, `TERM`, `RTMIN+3` or `15`. Raises InvalidInput."""
    plain = name.upper().removeprefix("SIG")
    if plain.isdecimal() and 1 <= int(plain) <= SIGRTMAX:
        return int(plain)
    if plain.startswith("RTMIN+") and plain[6:].isdecimal() and SIGRTMIN + int(plain[6:]) <= SIGRTMAX:
        return int(SIGRTMIN) + int(plain[6:])
    try:
        return int(Signals[f"SIG{plain}"])
    except KeyError:
        raise InvalidInput(f"'{name}' is not a signal", remedy="e.g. SIGTERM, INT or 15") from None


def signal_name(number: int) -> str:
    """Return e.g. SIGTERM; '' for what is no signal."""
    try:
        return Signals(number).name
    except ValueError:
        return ""


# Labels that the platform puts on containers of apps.
LABEL_APP, LABEL_RELEASE, LABEL_TYPE, LABEL_INDEX, LABEL_KIND = (
    "paas.app", "paas.release", "paas.type", "paas.index", "paas.kind",
)  # fmt: skip
#: Values of LABEL_KIND.
KIND_PROCESS, KIND_RUN, KIND_TASK, KIND_CRON = "process", "run", "task", "cron"
#: When a one-off is stopped (epoch seconds), and which run of a scheduled task it is.
LABEL_DEADLINE, LABEL_CRON_RUN = "paas.deadline", "paas.cron-run"


def process_of(container: Container) -> ProcessId:
    """Return which process of the formation a container is; index 0 for one that is none."""
    index = container.labels.get(LABEL_INDEX, "")
    return ProcessId(type=container.labels.get(LABEL_TYPE, ""), index=int(index) if index.isdecimal() else 0)
