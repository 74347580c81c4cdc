"""What a crash or a reboot left: found by comparing the kernel with the records, removed newest part first.

A container whose lock is held is being worked on by a living process and is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paas.engines.embedded import cgroups
from paas.engines.embedded.attendants import attendants, end_attendant
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.making import discard, drop_stale_claims
from paas.engines.embedded.publishing import republish
from paas.engines.embedded.record import container_from, read_processes, read_record
from paas.engines.embedded.rootfs import unmount_rootfs
from paas.engines.embedded.running import reclaim_null_device, take_away
from paas.host.files import remove_tree
from paas.model.container import NetworkMode
from paas.network import bridge
from paas.network.ipam import veth_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """Something that belongs to no container, and how to remove it."""

    description: str
    remove: Callable[[], object]


def repair(ground: Ground) -> tuple[str, ...]:
    """Remove orphans, bring back what running containers need; say what was done."""
    done = [*ground.prepare_cgroups()]
    if reclaim_null_device():
        done.append("took /dev/null back from a container")
    for orphan in find_orphans(ground):
        orphan.remove()
        done.append(f"removed {orphan.description}")
    drop_stale_claims(ground)
    done += _reconnect(ground)
    if bridge.interfaces(ground.settings.network_prefix):
        ground.tenancy.restore_firewall()
        republish(ground)
    return tuple(done)


def find_orphans(ground: Ground) -> tuple[Orphan, ...]:
    """Return what is left over. Reads only."""
    finders = (
        _dead_homes, _removed_volumes, _half_started, _attendants, _runtime_states, _cgroups, _scenes, _interfaces, _sockets,
        _image_store,
    )  # fmt: skip
    return tuple(orphan for find in finders for orphan in find(ground))


def _dead_homes(ground: Ground) -> Iterator[Orphan]:
    """Directories that were being made or removed, and foreground containers whose caller died."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(ground.paths.containers):
            if entry.name.startswith(".removed-"):
                rest = entry.name.removeprefix(".removed-")
                yield Orphan(description=f"the rest of container {rest}", remove=partial(remove_tree, Path(entry.path)))
    for home in ground.homes():
        if _is_locked(home):
            continue
        record = read_record(home)
        if record is None:
            yield Orphan(description=f"the half-made container {home.name}", remove=partial(discard, ground, home))
        elif record.is_ephemeral:
            yield Orphan(
                description=f"container {home.name}, whose command was killed", remove=partial(take_away, ground, record)
            )


def _removed_volumes(ground: Ground) -> Iterator[Orphan]:
    with contextlib.suppress(FileNotFoundError):
        for path in ground.paths.volumes.iterdir():
            if path.name.startswith(".removed-"):
                yield Orphan(description=f"the rest of volume {path.name}", remove=partial(remove_tree, path))


def _half_started(ground: Ground) -> Iterator[Orphan]:
    """Containers that the runtime has made but that nobody recorded as started."""
    for name in ground.crun.known():
        home = ground.home(name)
        record = read_record(home)
        if record is None or record.is_ephemeral or _is_locked(home) or read_processes(home) is not None:
            continue
        yield Orphan(description=f"the half-made start of container {name}", remove=partial(ground.crun.delete, name))


def _attendants(ground: Ground) -> Iterator[Orphan]:
    for attendant in attendants(ground.paths.containers):
        if not ground.home(attendant.container).exists():
            description = f"the {attendant.program} of container {attendant.container}"
            yield Orphan(description=description, remove=partial(end_attendant, attendant))


def _runtime_states(ground: Ground) -> Iterator[Orphan]:
    for name in ground.crun.known():
        if not ground.home(name).exists():
            yield Orphan(description=f"the runtime's state of container {name}", remove=partial(ground.crun.delete, name))


def _scenes(ground: Ground) -> Iterator[Orphan]:
    for name in _names(ground.paths.run / "containers"):
        if not ground.home(name).exists():
            yield Orphan(
                description=f"the mounts of container {name}", remove=partial(unmount_rootfs, ground.rootfs(name))
            )


def _cgroups(ground: Ground) -> Iterator[Orphan]:
    found, parent = ground.hierarchies, ground.cgroup_parent
    for tenant in cgroups.children(found, parent):
        if not (tenant.startswith("t") and tenant[1:].isdecimal()):
            continue
        for name in cgroups.children(found, f"{parent}/{tenant}"):
            if not ground.home(name).exists():
                yield Orphan(
                    description=f"the cgroup of container {name}",
                    remove=partial(cgroups.end, found, f"{parent}/{tenant}/{name}"),
                )


def _interfaces(ground: Ground) -> Iterator[Orphan]:
    prefix = ground.settings.network_prefix
    known = {veth_name(prefix, home.name) for home in ground.homes()}
    for name in bridge.interfaces(prefix):
        if name.startswith(f"{prefix}v") and name not in known:
            yield Orphan(description=f"the interface {name}", remove=partial(bridge.remove_interface, name))


def _sockets(ground: Ground) -> Iterator[Orphan]:
    for name in _names(ground.sockets):
        if not ground.home(name).exists():
            path = ground.sockets / name
            yield Orphan(description=f"the attach socket of container {name}", remove=partial(remove_tree, path))


def _image_store(ground: Ground) -> Iterator[Orphan]:
    return (Orphan(description=left.description, remove=left.remove) for left in ground.images.leftovers())


def _reconnect(ground: Ground) -> Iterator[str]:
    """Make the bridges of running containers again if they are gone, and join the containers to them."""
    for home in ground.homes():
        record = read_record(home)
        if record is None or record.network is not NetworkMode.TENANT or not container_from(home, record).is_running:
            continue
        network = ground.tenancy.network(record.tenant)
        if not bridge.has_bridge(network):
            ground.tenancy.ensure(record.tenant, with_network=True)
            yield f"made the bridge {network.bridge} again"
        if bridge.join_bridge(veth_name(ground.settings.network_prefix, record.id), network):
            yield f"connected container {record.id} to {network.bridge} again"


def _is_locked(home: Path) -> bool:
    try:
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # gone meanwhile: somebody works here
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _names(directory: Path) -> tuple[str, ...]:
    with contextlib.suppress(FileNotFoundError):
        return tuple(sorted(path.name for path in directory.iterdir()))
    return ()
