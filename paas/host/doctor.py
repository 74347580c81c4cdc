"""Facts -> findings: what is wrong with this machine, why it matters, and the command that cures it. Pure; facts.py reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from paas.host.facts import CgroupMode, Facts

_GIB = 1 << 30
#: overlayfs accepts idmapped lower layers since then.
OLDEST_KERNEL = (5, 19)
#: Filesystems that allow idmapped mounts and overlay uppers at that kernel.
ROOT_FILESYSTEMS = ("ext4", "xfs", "btrfs", "f2fs")
_NEEDED_CONTROLLERS = ("cpu", "memory", "pids")
_APT = "apt-get install -y "
#: Tool -> package, what we need it for.
_PACKAGES = {
    "conmon": ("conmon", "it holds the output and exit code of every container"),
    "tini-static": ("tini", "it is process 1 of every container and reaps its zombies"),
    "nft": ("nftables", "it makes NAT for app networks and isolates them"),
    "ip": ("iproute2", "it shows and probes networks"),
    "git": ("git", "it receives pushes"),
    "nginx": ("nginx-light", "it routes every request"),
    "mmdebstrap": ("mmdebstrap", "it builds the base images of buildpack builds"),
    "ssh-keygen": ("openssh-client", "it checks the keys of ssh-keys:add"),
    "unshare": ("util-linux", "it probes what the kernel can do"),
}


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check and how it ended. `why` and `remedy` are empty when all is well."""

    check: str
    level: Level
    found: str
    why: str = ""
    remedy: str = ""


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Return one finding for each check, in the order in which to cure them."""
    return (
        *_kernel(facts), *_cgroups(facts), *_tools(facts), *_nginx(facts), *_names(facts),
        *_disk(facts), *_limits(facts), *_server(facts),
    )  # fmt: skip


def _finding(check: str, is_well: bool, found: str, why: str, remedy: str, level: Level = Level.PROBLEM) -> Finding:
    if is_well:
        return Finding(check=check, level=Level.OK, found=found)
    return Finding(check=check, level=level, found=found, why=why, remedy=remedy)


def _kernel(facts: Facts) -> Iterator[Finding]:
    yield _finding(
        "root", facts.is_root, "yes" if facts.is_root else "no",
        "mounts, namespaces and networks need root", "sudo paas doctor",
    )  # fmt: skip
    yield _finding(
        "kernel", facts.kernel_version >= OLDEST_KERNEL, facts.kernel,
        "user namespaces on overlayfs need 5.19", "install a newer kernel, on Ubuntu 22.04: "
        + _APT + "linux-image-generic-hwe-22.04, and reboot",
    )  # fmt: skip
    yield _finding(
        "overlayfs", "overlay" in facts.filesystems, "yes" if "overlay" in facts.filesystems else "no",
        "containers stack their image's layers with it", "modprobe overlay",
    )  # fmt: skip
    for part, reason in facts.probes.items():
        yield _finding(
            part, not reason, reason or "yes", "containers and their networks are made of these",
            _PROBE_REMEDIES.get(part, "use a kernel that has them"),
        )  # fmt: skip


_PROBE_REMEDIES = {
    "user namespaces": "sysctl -w user.max_user_namespaces=65536",
    "bridges": "modprobe bridge",
    "veth pairs": "modprobe veth",
    "nftables NAT": "modprobe nf_tables nft_chain_nat",
}


def _cgroups(facts: Facts) -> Iterator[Finding]:
    yield _finding(
        "cgroups", facts.cgroup_mode in (CgroupMode.UNIFIED, CgroupMode.HYBRID), facts.cgroup_mode.value,
        "limits and clean stops need them", "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )  # fmt: skip
    missing = [name for name in _NEEDED_CONTROLLERS if name not in facts.cgroup_controllers]
    yield _finding(
        "cgroup controllers", not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(_NEEDED_CONTROLLERS),
        "without them an app can take the whole machine", "boot with the kernel options cgroup_enable=memory,cpu,pids",
    )  # fmt: skip
    if facts.stray_controllers and "runc" not in facts.tools:
        name = facts.stray_controllers[0]
        yield _finding(
            "hybrid cgroups", False, f"{', '.join(facts.stray_controllers)} left on the v2 tree",
            "crun refuses to run there",
            f"mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} cgroup /sys/fs/cgroup/{name}",
        )  # fmt: skip


def _tools(facts: Facts) -> Iterator[Finding]:
    runtime = next((name for name in ("crun", "runc") if name in facts.tools), "")
    yield _finding(
        "crun", bool(runtime), f"{runtime} {facts.tools[runtime]}" if runtime else "missing",
        "it makes the containers", _APT + "crun",
    )  # fmt: skip
    for tool, (package, why) in _PACKAGES.items():
        version = facts.tools.get(tool, "missing")
        yield _finding(tool, version not in ("missing", "does not run"), version, why, _APT + package)
    version = facts.tools.get("skopeo", "missing")
    yield _finding(
        "skopeo", version != "missing", version, "without it no image can be pulled or pushed", _APT + "skopeo", Level.WARNING
    )


def _nginx(facts: Facts) -> Iterator[Finding]:
    if "nginx" not in facts.tools:
        return
    yield _finding(
        "nginx lua module", facts.has_lua_module, "yes" if facts.has_lua_module else "missing",
        "upstreams change through it without a reload", _APT + "libnginx-mod-http-lua lua-resty-core",
    )  # fmt: skip
    yield _finding(
        "nginx configuration", not facts.nginx_problem, facts.nginx_problem or "valid",
        "no route can change while nginx refuses its configuration", "paas nginx:validate-config",
    )  # fmt: skip
    yield _finding(
        "nginx", facts.is_nginx_running, "running" if facts.is_nginx_running else "not running",
        f"no app answers; another program may have port {facts.http_port}. nginx is started again within 20 s when it is free",
        f"ss -ltnp sport = :{facts.http_port}",
    )  # fmt: skip


def _names(facts: Facts) -> Iterator[Finding]:
    yield _finding(
        "nameservers", bool(facts.nameservers), ", ".join(facts.nameservers) or "none",
        "builds and apps cannot look up names", "write one to /etc/resolv.conf: nameserver <address>",
    )  # fmt: skip
    yield _finding(
        "domain", facts.is_domain_resolved, facts.domain, f"nobody finds <app>.{facts.domain}",
        f"add a DNS record for *.{facts.domain} that leads to this machine", Level.WARNING,
    )  # fmt: skip


def _disk(facts: Facts) -> Iterator[Finding]:
    yield _finding(
        "filesystem", facts.root_filesystem in ROOT_FILESYSTEMS, facts.root_filesystem,
        "overlayfs with idmapped mounts is known to work on " + ", ".join(ROOT_FILESYSTEMS),
        "set PAAS_ROOT to a directory on one of these", Level.WARNING,
    )  # fmt: skip
    free = f"{facts.disk_free_bytes / _GIB:.1f} GiB free ({facts.disk_free_share:.0%})"
    is_full = facts.disk_free_bytes < _GIB or facts.inodes_free_share < 0.02
    yield _finding(
        "disk", not is_full, free, "builds and logs need room: below 1 GiB or 2% of the inodes they fail",
        "paas image:prune",
    )  # fmt: skip
    if not is_full:
        yield _finding(
            "disk reserve", facts.disk_free_share >= 0.1, free, "less than a tenth is left", "paas image:prune", Level.WARNING
        )


def _limits(facts: Facts) -> Iterator[Finding]:
    yield _finding(
        "memory", facts.memory_bytes >= 900 << 20, f"{facts.memory_bytes / _GIB:.1f} GiB",
        "builds of larger apps are killed below 1 GiB", "add memory or swap", Level.WARNING,
    )  # fmt: skip
    yield _finding(
        "inotify", facts.inotify_instances >= 128, f"{facts.inotify_instances} instances for each user",
        "development servers and log watchers run out of them", "sysctl -w fs.inotify.max_user_instances=8192", Level.WARNING,
    )  # fmt: skip
    yield _finding(
        "open files", facts.open_files >= 65_536, str(facts.open_files),
        "hundreds of containers and connections need more", "raise LimitNOFILE or nofile in /etc/security/limits.conf",
        Level.WARNING,
    )  # fmt: skip
    yield _finding(
        "CAP_SYS_RESOURCE", facts.can_raise_limits, "yes" if facts.can_raise_limits else "no",
        "limits of containers stay within this machine's hard limits", "nothing: it is only good to know", Level.WARNING,
    )  # fmt: skip


def _server(facts: Facts) -> Iterator[Finding]:
    yield _finding(
        "server", facts.is_server_running, "running" if facts.is_server_running else "not running",
        "no push arrives, and nothing that exits is started again",
        "systemctl start paas, or without systemd: paas serve --detach", Level.PROBLEM,
    )  # fmt: skip
    if facts.is_server_running:
        yield _finding(
            "forwarding", facts.is_forwarding, "on" if facts.is_forwarding else "off",
            "apps reach nothing outside", "sysctl -w net.ipv4.ip_forward=1", Level.WARNING,
        )  # fmt: skip
