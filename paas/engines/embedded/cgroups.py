"""Control groups on v2, v1 and hybrid hosts: where containers go, what was used, what is left over. Not limits: crun sets them.

Source: cgroups(7), cgroup-v2.rst, cgroup-v1/memory.rst.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from paas.errors import HostProblem
from paas.host import kernel

ROOT = Path("/sys/fs/cgroup")
#: Made by provisioning, `Delegate=yes`: containers are not in our own unit, so they survive its restart.
DELEGATED = "/paas.slice/paas-containers.service"
DEFAULT_PARENT = "/paas"
#: There if systemd is PID 1, sd_booted(3).
_SYSTEMD = Path("/run/systemd/system")
#: The name of the threads of `expect_moves`.
MOVES_THREAD = "expect-moves"
_END_TIMEOUT_S, _END_PAUSE_S = 2.0, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """The mounted control group trees. `unified` is the v2 tree, `named` holds every v1 tree by controller."""

    unified: Path | None
    controllers: tuple[tuple[str, Path], ...] = ()

    @property
    def is_pure_v2(self) -> bool:
        return self.unified is not None and not self.controllers

    @property
    def roots(self) -> tuple[Path, ...]:
        found = [path for _, path in self.controllers]
        return tuple(dict.fromkeys([*found, *([self.unified] if self.unified else [])]))


def parse_hierarchies(mounts: str) -> Hierarchies:
    """Find the cgroup mounts in the text of /proc/mounts. Pure."""
    unified, controllers = None, []
    for line in mounts.splitlines():
        _, target, kind, options, *_ = line.split(" ")
        if not target.startswith(str(ROOT)):
            continue  # e.g. the view of a container
        if kind == "cgroup2":
            unified = unified or Path(target)
        elif kind == "cgroup":
            names = [o for o in options.split(",") if o not in ("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "xattr")]
            controllers += [(name, Path(target)) for name in names]
    return Hierarchies(unified=unified, controllers=tuple(controllers))


def hierarchies() -> Hierarchies:
    """Read the control group mounts of this machine. Raises HostProblem when there are none."""
    found = parse_hierarchies(Path("/proc/mounts").read_text())
    if not found.roots:
        raise HostProblem("No control groups are mounted", remedy="mount cgroup2 on /sys/fs/cgroup, or run: paas doctor")
    return found


def prepare_host() -> tuple[str, ...]:
    """Mount the v1 trees of controllers that a hybrid host left on v2; crun refuses to run otherwise. Say what was done."""
    found = hierarchies()
    if found.unified is None or found.is_pure_v2:
        return ()
    done = []
    for controller in (found.unified / "cgroup.controllers").read_text().split():
        target = ROOT / controller
        target.mkdir(exist_ok=True)
        kernel.mount("cgroup", target, "cgroup", controller)
        done.append(f"mounted the v1 hierarchy of {controller} on {target}")
    return tuple(done)


def parent_for(setting: str, found: Hierarchies) -> str:
    """Return the cgroup below which everything of ours lives."""
    if setting:
        return "/" + setting.strip("/")
    delegated = any((root / DELEGATED.lstrip("/")).is_dir() for root in found.roots)
    return DELEGATED if delegated else DEFAULT_PARENT


def tenant_cgroup(parent: str, number: int) -> str:
    """Return the cgroup that holds a tenant's containers."""
    return f"{parent}/t{number}"


def monitors_cgroup(parent: str) -> str:
    """Return the cgroup of all conmons: a leaf beside the containers, so neither their limits nor our unit's end hits it."""
    return f"{parent}/monitors"


def join_monitors(found: Hierarchies, parent: str, pid: int) -> None:
    """Move a conmon to the leaf of all conmons, in the tree by which systemd ends units.

    Without systemd nobody ends processes by cgroup, and each move takes 5 ms.
    """
    if not _SYSTEMD.is_dir():
        return
    tracking = dict(found.controllers).get("name=systemd", found.unified)
    if tracking is None:
        return
    leaf = tracking / monitors_cgroup(parent).lstrip("/")
    leaf.mkdir(parents=True, exist_ok=True)
    (leaf / "cgroup.procs").write_text(str(pid))


def expect_moves(found: Hierarchies) -> None:
    """Have the kernel ready, beside our own work, for the move of a process that is to come: a tool's, soon after this.

    The first move in a while waits for an RCU grace period, 10 ms and more; one that follows soon does not. So a thread makes one
    that changes nothing. Source: cgroup_attach_lock in kernel/cgroup/cgroup.c, kernel/rcu/sync.c.
    """
    if found.unified is not None:
        threading.Thread(target=_stay, args=(found.unified,), name=MOVES_THREAD, daemon=True).start()


def _stay(root: Path) -> None:
    """Move ourselves to where we are in the v2 tree."""
    with contextlib.suppress(OSError):  # whatever there is against it, the kernel has waited before it found out
        (root / own_cgroup(Path("/proc/self/cgroup").read_text()) / "cgroup.procs").write_text("0")


def own_cgroup(memberships: str) -> str:
    """Return where a process is in the v2 tree, relative to its root, by the text of its /proc/<pid>/cgroup. Pure."""
    return next(line.removeprefix("0::/") for line in memberships.splitlines() if line.startswith("0::/"))


def members(found: Hierarchies, cgroup: str) -> tuple[int, ...]:
    """Return the pids in a cgroup and below it."""
    pids: set[int] = set()
    for root in found.roots:
        for directory, _, _ in os.walk(root / cgroup.lstrip("/")):
            with contextlib.suppress(OSError):  # it went away meanwhile
                pids.update(int(line) for line in (Path(directory) / "cgroup.procs").read_text().split())
    return tuple(sorted(pids))


def children(found: Hierarchies, cgroup: str) -> tuple[str, ...]:
    """Return the names of the cgroups right below, over all trees."""
    names: set[str] = set()
    for root in found.roots:
        with contextlib.suppress(OSError):  # not in this tree
            names.update(entry.name for entry in os.scandir(root / cgroup.lstrip("/")) if entry.is_dir())
    return tuple(sorted(names))


def end(found: Hierarchies, cgroup: str) -> bool:
    """Kill what lives in a cgroup and remove it; say whether it is gone. Nothing is the quick case."""
    directories = [root / cgroup.lstrip("/") for root in found.roots]
    until = time.monotonic() + _END_TIMEOUT_S
    while any(directory.is_dir() for directory in directories):
        if found.unified is not None:
            with contextlib.suppress(OSError):  # Linux 5.14: all at once, whatever forks meanwhile
                (found.unified / cgroup.lstrip("/") / "cgroup.kill").write_text("1")
        for pid in members(found, cgroup):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if remove(found, cgroup):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_END_PAUSE_S)  # a killed process leaves its cgroup when the kernel is done with it
    return True


def remove(found: Hierarchies, cgroup: str) -> bool:
    """Remove an empty cgroup and what is below it from every tree; say whether all of it is gone."""
    is_gone = True
    for root in found.roots:
        for directory, _, _ in os.walk(root / cgroup.lstrip("/"), topdown=False):
            try:
                Path(directory).rmdir()
            except FileNotFoundError:
                pass  # gone, which is what we want
            except OSError:
                is_gone = False  # EBUSY: somebody lives there
    return is_gone
