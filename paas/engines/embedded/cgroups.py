"""Control groups on v2, v1 and hybrid hosts: where containers go, what was used, what is left over. Not limits: crun sets them.

Source: cgroups(7), cgroup-v2.rst, cgroup-v1/memory.rst.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.errors import HostProblem
from paas.host import kernel

ROOT = Path("/sys/fs/cgroup")
#: Made by provisioning, `Delegate=yes`: containers are not in our own unit, so they survive its restart.
DELEGATED = "/paas.slice/paas-containers.service"
DEFAULT_PARENT = "/paas"
#: The mount option with which a process moves at once. Without it the kernel (since 6.0) first waits for an RCU grace period,
#: 10 ms and more, so that fork and exit may do without a memory barrier. Source: cgroup-v2.rst, Mounting.
FAVOR_MOVES = "favordynmods"
#: The mount options that the kernel knows.
_FEATURES = Path("/sys/kernel/cgroup/features")
#: Options of v1 mounts that are no controllers.
_PLAIN_OPTIONS = ("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "xattr", FAVOR_MOVES)
#: There if systemd is PID 1, sd_booted(3).
_SYSTEMD = Path("/run/systemd/system")
#: The name of the threads of `expect_moves`.
MOVES_THREAD = "expect-moves"
_END_TIMEOUT_S, _END_PAUSE_S = 2.0, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """The mounted control group trees. `unified` is the v2 tree, with its mount options; each v1 tree is there by controller."""

    unified: Path | None
    options: tuple[str, ...] = ()
    controllers: tuple[tuple[str, Path], ...] = ()

    @property
    def favors_moves(self) -> bool:
        return FAVOR_MOVES in self.options

    @property
    def is_pure_v2(self) -> bool:
        return self.unified is not None and not self.controllers

    @property
    def roots(self) -> tuple[Path, ...]:
        found = [path for _, path in self.controllers]
        return tuple(dict.fromkeys([*found, *([self.unified] if self.unified else [])]))


def parse_hierarchies(mounts: str) -> Hierarchies:
    """Find the cgroup mounts in the text of /proc/mounts. Pure."""
    unified, unified_options, controllers = None, "", []
    for line in mounts.splitlines():
        _, target, kind, options, *_ = line.split(" ")
        if not target.startswith(str(ROOT)):
            continue  # e.g. the view of a container
        if kind == "cgroup2" and unified is None:
            unified, unified_options = Path(target), options
        elif kind == "cgroup":
            controllers += [(name, Path(target)) for name in options.split(",") if name not in _PLAIN_OPTIONS]
    return Hierarchies(unified=unified, options=tuple(unified_options.split(",")), controllers=tuple(controllers))


def hierarchies() -> Hierarchies:
    """Read the control group mounts of this machine. Raises HostProblem when there are none."""
    found = parse_hierarchies(Path("/proc/mounts").read_text())
    if not found.roots:
        raise HostProblem("No control groups are mounted", remedy="mount cgroup2 on /sys/fs/cgroup, or run: paas doctor")
    return found


def prepare_host(*, favors_moves: bool) -> tuple[str, ...]:
    """Make the trees what containers need; say what was done. `favors_moves`: have processes move at once, if the kernel can."""
    found = hierarchies()
    return (*_mount_controllers(found), *(_favor_moves(found) if favors_moves else ()))


def _mount_controllers(found: Hierarchies) -> Iterator[str]:
    """Mount the v1 trees of controllers that a hybrid host left on v2; crun refuses to run otherwise."""
    if found.unified is None or found.is_pure_v2:
        return
    for controller in (found.unified / "cgroup.controllers").read_text().split():
        target = ROOT / controller
        target.mkdir(exist_ok=True)
        kernel.mount("cgroup", target, "cgroup", controller)
        yield f"mounted the v1 hierarchy of {controller} on {target}"


def _favor_moves(found: Hierarchies) -> Iterator[str]:
    """Switch the option on, which holds for all trees; never from inside a container, whose host decides for itself."""
    if found.unified is None or found.favors_moves or not kernel.is_outermost():
        return
    with contextlib.suppress(OSError):  # an older kernel, or none that lets us: then moves take longer
        known = _FEATURES.read_text().split()
        kernel.reconfigure(found.unified, favoring_options(found.options, known))
        yield f"switched on {FAVOR_MOVES} of {found.unified}"


def favoring_options(mounted: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    """Return what the v2 tree is to be mounted with: what it is mounted with, of the options that the kernel knows, and ours."""
    return (*(option for option in mounted if option in known), FAVOR_MOVES)


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

    Where moves are not favoured the first one in a while waits; one that follows soon does not. So a thread makes one that
    changes nothing. Source: cgroup_attach_lock in kernel/cgroup/cgroup.c, kernel/rcu/sync.c.
    """
    if found.unified is not None and not found.favors_moves:
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
