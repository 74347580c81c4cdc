"""What this machine is: kernel, cgroups, tools, limits, disk. Reads and probes; doctor.py judges.

A probe makes its bridge, veth or table in a namespace of its own that ends with the probe.
"""

from __future__ import annotations

import os
import re
import resource
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from paas.errors import CommandFailed, HostProblem, PaasError
from paas.host.process import answers
from paas.host.run import find_tool, run
from paas.paths import Paths
from paas.settings import Settings

#: Bit of CAP_SYS_RESOURCE (linux/capability.h).
_CAP_SYS_RESOURCE = 24
_CGROUPS = Path("/sys/fs/cgroup")
_LUA_MODULE = "ngx_http_lua_module.so"
_MODULE_DIRECTORIES = (Path("/usr/lib/nginx/modules"), Path("/usr/share/nginx/modules"))
#: Tool -> how it tells its version; one without an entry is only looked for.
TOOLS: Mapping[str, tuple[str, ...]] = {
    "crun": ("--version",),
    "runc": ("--version",),
    "conmon": ("--version",),
    "tini-static": ("--version",),
    "nft": ("--version",),
    "ip": ("-V",),
    "git": ("--version",),
    "nginx": ("-v",),
    "skopeo": ("--version",),
    "mmdebstrap": ("--version",),
    "ssh-keygen": (),
    "unshare": ("--version",),
}
#: Kernel part -> a command that needs it and leaves nothing behind.
_PROBES: Mapping[str, tuple[str, ...]] = {
    "user namespaces": ("unshare", "--user", "--map-root-user", "true"),
    "bridges": ("unshare", "--net", "ip", "link", "add", "paasprobe", "type", "bridge"),
    "veth pairs": ("unshare", "--net", "ip", "link", "add", "paasprobe", "type", "veth"),
    "nftables NAT": ("unshare", "--net", "nft", "add table ip p; add chain ip p n { type nat hook postrouting priority 100; }"),
}


class CgroupMode(StrEnum):
    UNIFIED = "v2"
    HYBRID = "hybrid"
    LEGACY = "v1"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One reading of the machine. `probes` maps a kernel part to '' (works) or the reason why not."""

    is_root: bool
    kernel: str
    filesystems: frozenset[str]
    probes: Mapping[str, str]
    cgroup_mode: CgroupMode
    cgroup_controllers: frozenset[str]
    #: Controllers that a hybrid host has left on its v2 tree.
    stray_controllers: tuple[str, ...]
    tools: Mapping[str, str]
    has_lua_module: bool
    #: nginx -t's last line when it fails.
    nginx_problem: str
    nameservers: tuple[str, ...]
    domain: str
    is_domain_resolved: bool
    root_filesystem: str
    disk_free_bytes: int
    disk_free_share: float
    inodes_free_share: float
    memory_bytes: int
    inotify_instances: int
    open_files: int
    can_raise_limits: bool
    #: True as well while no app has a network yet: the first one turns it on.
    is_forwarding: bool
    is_server_running: bool
    #: True as well where only root could tell, and while the server that starts it does not run.
    is_nginx_running: bool
    http_port: int

    @property
    def kernel_version(self) -> tuple[int, int]:
        found = re.match(r"(\d+)\.(\d+)", self.kernel)
        return (int(found[1]), int(found[2])) if found else (0, 0)


def read_facts(paths: Paths, settings: Settings, *, is_nginx_running: bool) -> Facts:
    """Read the machine. Never raises for what is missing: that is a fact."""
    is_server_running = answers(paths.socket)
    disk = os.statvfs(_existing(paths.root))
    mode, controllers, stray = _read_cgroups()
    return Facts(
        is_root=os.geteuid() == 0,
        kernel=os.uname().release,
        filesystems=_filesystems(),
        probes={part: _probe(argv) for part, argv in _PROBES.items()},
        cgroup_mode=mode,
        cgroup_controllers=controllers,
        stray_controllers=stray,
        tools=_tool_versions(settings),
        has_lua_module=any((directory / _LUA_MODULE).exists() for directory in _MODULE_DIRECTORIES),
        nginx_problem=_nginx_problem(settings),
        nameservers=_nameservers(),
        domain=settings.domain,
        is_domain_resolved=_resolves(f"paas-doctor.{settings.domain}"),
        root_filesystem=_filesystem_of(_existing(paths.root)),
        disk_free_bytes=disk.f_bavail * disk.f_frsize,
        disk_free_share=disk.f_bavail / disk.f_blocks if disk.f_blocks else 1.0,
        inodes_free_share=disk.f_favail / disk.f_files if disk.f_files else 1.0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        inotify_instances=_number(Path("/proc/sys/fs/inotify/max_user_instances")),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        can_raise_limits=_has_capability(_CAP_SYS_RESOURCE),
        is_forwarding=_number(Path("/proc/sys/net/ipv4/ip_forward")) == 1 or not _has_networks(settings.network_prefix),
        is_server_running=is_server_running,
        is_nginx_running=is_nginx_running or os.geteuid() != 0 or not is_server_running,
        http_port=settings.http_port,
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _has_networks(prefix: str) -> bool:
    return any(Path("/sys/class/net").glob(f"{prefix}b[0-9]*"))


def _filesystems() -> frozenset[str]:
    names = frozenset(line.split("\t")[-1] for line in Path("/proc/filesystems").read_text().splitlines())
    if "overlay" in names or find_tool("modprobe") is None:
        return names
    try:
        run(["modprobe", "overlay"])
    except PaasError:
        return names
    return names | {"overlay"}


def _probe(argv: tuple[str, ...]) -> str:
    try:
        run(argv)
    except CommandFailed as exc:
        return exc.output[-1] if exc.output else exc.message
    except HostProblem as exc:
        return exc.message
    return ""


def _read_cgroups() -> tuple[CgroupMode, frozenset[str], tuple[str, ...]]:
    unified = _CGROUPS / "cgroup.controllers"
    if unified.exists():
        return CgroupMode.UNIFIED, frozenset(unified.read_text().split()), ()
    legacy = frozenset(entry.name for entry in _CGROUPS.iterdir()) if _CGROUPS.is_dir() else frozenset()
    hybrid = _CGROUPS / "unified" / "cgroup.controllers"
    if hybrid.exists():
        return CgroupMode.HYBRID, legacy, tuple(hybrid.read_text().split())
    return (CgroupMode.LEGACY if legacy else CgroupMode.MISSING), legacy, ()


def _tool_versions(settings: Settings) -> dict[str, str]:
    versions = {}
    for name, arguments in TOOLS.items():
        path = find_tool(settings.nginx_binary if name == "nginx" else name)
        if path is not None:
            versions[name] = _version(path, arguments) if arguments else "installed"
    return versions


def _version(path: Path, arguments: tuple[str, ...]) -> str:
    # nginx writes its version to stderr.
    try:
        said = run(["/bin/sh", "-c", '"$@" 2>&1', "sh", str(path), *arguments])
    except PaasError:
        return "does not run"
    found = re.search(r"\d+(\.\d+)+", said)
    return found[0] if found else "installed"


def _nginx_problem(settings: Settings) -> str:
    if find_tool(settings.nginx_binary) is None or os.geteuid() != 0:
        return ""
    return _probe((settings.nginx_binary, "-t", "-q", "-c", settings.nginx_main))


def _nameservers() -> tuple[str, ...]:
    try:
        lines = Path("/etc/resolv.conf").read_text().splitlines()
    except OSError:
        return ()
    return tuple(words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver")


def _resolves(name: str) -> bool:
    if name.endswith(".localhost"):
        return True  # browsers, curl and systemd-resolved answer it themselves (RFC 6761)
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def _filesystem_of(path: Path) -> str:
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, found, *_ = line.split()
        is_inside = target == "/" or path == Path(target) or Path(target) in path.parents
        if is_inside and len(target) >= len(best):
            best, kind = target, found
    return kind


def _has_capability(bit: int) -> bool:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> bit & 1)
