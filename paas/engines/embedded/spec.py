"""OCI runtime configuration: what is asked for + what the host offers -> config.json. Pure; engine.py writes the file.

Default-deny: Docker's default capabilities, no_new_privileges, seccomp, masked and read-only paths, a user namespace.
Source: OCI runtime-spec v1.1, config.md and config-linux.md; moby oci/defaults.go for the paths.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paas.engines.embedded.accounts import Account
from paas.engines.embedded.limits import PERIOD_US, cpu_shares, quota_us
from paas.model.capabilities import remaining_capabilities
from paas.model.container import Extras, Limits, Mount, NetworkMode

IDS_PER_TENANT = 65536
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT_TARGET = "/dev/.init"

_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
    "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_MOUNTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)

#: Where every container has something mounted, whatever its image holds.
FIXED_TARGETS = ("/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What runs inside: argv, environment, who, where."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    account: Account
    workdir: str = "/"
    has_terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the host gives: paths, namespaces, limits. `files` are bound read-write over the image's, e.g. /etc/hosts."""

    root: Path
    hostname: str
    user_namespace: Path
    uid_base: int
    cgroup: str
    network: NetworkMode
    files: tuple[tuple[Path, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    limits: Limits = Limits()
    init: Path | None = None
    is_read_only: bool = False
    seccomp: Mapping[str, Any] = field(default_factory=dict)
    seccomp_program: bytes = b""
    max_open_files: int = 0
    extras: Extras = Extras()


def runtime_config(command: Command, around: Surroundings) -> dict[str, Any]:
    """Return config.json."""
    program = base64.b64encode(around.seccomp_program).decode()
    return {
        "ociVersion": "1.0.2",
        "process": process_config(command, around),
        "root": {"path": str(around.root), "readonly": around.is_read_only},
        "hostname": around.hostname,
        "mounts": _mounts(around),
        "linux": _linux(around),
        # crun(1): the profile compiled already, which it then does not do again; other runtimes compile linux.seccomp.
        "annotations": {"run.oci.seccomp_bpf_data": program} if program else {},
    }


def process_config(command: Command, around: Surroundings) -> dict[str, Any]:
    """Return the `process` object. With an init the argv is run below it, which reaps zombies and passes signals on."""
    argv = (INIT_TARGET, "--", *command.argv) if around.init is not None else command.argv
    return {
        "terminal": command.has_terminal,
        "user": {
            "uid": command.account.uid,
            "gid": command.account.gid,
            # The own group too: what denies a group (mode 0705) must hold for a process that changes its gid later.
            "additionalGids": sorted({command.account.gid, *command.account.groups}),
            "umask": 0o022,
        },
        "args": list(argv),
        "env": [f"{key}={value}" for key, value in environment(command).items()],
        "cwd": command.workdir or "/",
        "capabilities": _capabilities(command.account, around.extras),
        "noNewPrivileges": True,
        "rlimits": _rlimits(around),
    }


def _rlimits(around: Surroundings) -> list[dict[str, Any]]:
    files = around.max_open_files
    found = {"RLIMIT_NOFILE": (files, files)} if files else {}
    found |= {f"RLIMIT_{one.name.upper()}": (one.soft, one.hard) for one in around.extras.ulimits}
    return [{"type": kind, "hard": hard, "soft": soft} for kind, (soft, hard) in found.items()]


def environment(command: Command) -> dict[str, str]:
    """Return the environment with PATH, HOME and TERM set where it says nothing."""
    defaults = {"PATH": DEFAULT_PATH, "HOME": command.account.home}
    if command.has_terminal:
        defaults["TERM"] = "xterm"
    return {**defaults, **command.env}


def _capabilities(account: Account, extras: Extras) -> dict[str, list[str]]:
    """Give root the default set; another user has it only as a bound, as execve would leave it."""
    given = list(remaining_capabilities(dropped=extras.dropped_capabilities, added=extras.added_capabilities))
    held = given if account.uid == 0 else []
    return {"bounding": given, "effective": held, "permitted": held, "inheritable": [], "ambient": []}


def _mounts(around: Surroundings) -> list[dict[str, Any]]:
    found = [_mount(target, kind, source, _sized(source, options, around)) for target, kind, source, options in _MOUNTS]
    system = ("nosuid", "noexec", "nodev", "ro")
    if around.network is NetworkMode.HOST:
        # sysfs shows a network namespace and may be mounted only by its owner; the host's is bound instead.
        found.insert(-1, _mount("/sys", "bind", "/sys", ("rbind", "rslave", *system)))
        found = [entry for entry in found if entry["destination"] != "/sys/fs/cgroup"]
    else:
        found.insert(-1, _mount("/sys", "sysfs", "sysfs", system))
    if around.init is not None:
        found.append(_mount(INIT_TARGET, "bind", str(around.init), ("bind", "ro", "nosuid", "nodev")))
    found += [_mount(target, "bind", str(file), ("bind", "rw", "nosuid", "nodev")) for file, target in around.files]
    # A mount on a directory hides what is mounted below it already: outer ones come first.
    found += [_user_mount(mount) for mount in sorted(around.mounts, key=lambda mount: mount.target.rstrip("/").count("/"))]
    return found


def _sized(source: str, options: Sequence[str], around: Surroundings) -> Sequence[str]:
    """Return the options of a usual mount, with the size that is asked for /dev/shm."""
    if source != "shm" or not around.extras.shm_bytes:
        return options
    return tuple(f"size={around.extras.shm_bytes}" if option.startswith("size=") else option for option in options)


def _user_mount(mount: Mount) -> dict[str, Any]:
    access = "ro" if mount.is_read_only else "rw"
    if mount.source is None:
        size = (f"size={mount.size_bytes}",) if mount.size_bytes else ()
        return _mount(mount.target, "tmpfs", "tmpfs", (access, "nosuid", "nodev", f"mode={mount.mode:o}", *size))
    # A user namespace can not hold set-uid files of the host against us: ids outside its mapping have no power in it.
    mapped = ("idmap",) if mount.is_mapped else ()
    return _mount(mount.target, "bind", str(mount.source), ("bind", access, "nodev", "nosuid", "rprivate", *mapped))


def _mount(target: str, kind: str, source: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _linux(around: Surroundings) -> dict[str, Any]:
    mapping = [{"containerID": 0, "hostID": around.uid_base, "size": IDS_PER_TENANT}]
    namespaces: list[dict[str, str]] = [{"type": "user", "path": str(around.user_namespace)}]
    namespaces += [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    config: dict[str, Any] = {
        "namespaces": namespaces,
        "uidMappings": mapping,
        "gidMappings": mapping,
        "cgroupsPath": around.cgroup,
        "resources": resources(around.limits),
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
    }
    if around.network is not NetworkMode.HOST:
        namespaces.append({"type": "network"})
        # Ports below 1024 and ping are safe in a namespace of one's own, also for users other than root.
        config["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 65535"}
    if around.extras.sysctls:
        config["sysctl"] = {**config.get("sysctl", {}), **dict(around.extras.sysctls)}
    if around.seccomp:
        config["seccomp"] = dict(around.seccomp)
    return config


def resources(limits: Limits) -> dict[str, Any]:
    """Return the `linux.resources` object. No device node of the host may be opened but the usual harmless ones."""
    found: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if limits.memory_bytes:
        # `swap` is memory and swap together; without a swap limit there is none, as a limit that swaps is no limit.
        swap = -1 if limits.swap_bytes < 0 else limits.memory_bytes + limits.swap_bytes
        found["memory"] = {"limit": limits.memory_bytes, "swap": swap}
    if limits.reserved_memory_bytes:
        found["memory"] = {**found.get("memory", {}), "reservation": limits.reserved_memory_bytes}
    if limits.cpu_millis:
        found["cpu"] = {"quota": quota_us(limits), "period": PERIOD_US}
    if limits.reserved_cpu_millis:
        # A weight, not a promise: 1024 is one core's worth beside others that reserve as well.
        found["cpu"] = {**found.get("cpu", {}), "shares": cpu_shares(limits)}
    if limits.pids:
        found["pids"] = {"limit": limits.pids}
    return found
