"""What containers leave on a machine, to compare before and after."""

from __future__ import annotations

import gc
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine_ground import EngineGround
from paas.engines.embedded import cgroups
from paas.engines.embedded.cgroups import MOVES_THREAD
from paas.model.container import ContainerSpec, PortMapping
from paas.network import bridge


def traces(ground: EngineGround) -> dict[str, object]:
    """Return all that containers leave on a machine, once threads of the engine have ended and garbage is collected."""
    for thread in threading.enumerate():
        if thread.name == MOVES_THREAD:
            thread.join()
    gc.collect()
    prefix, parent = ground.settings.network_prefix, ground.settings.cgroup_parent
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found = cgroups.hierarchies()
    return {
        "mounts": sorted(line for line in mounts if str(ground.paths.run.parent) in line),
        "interfaces": bridge.interfaces(prefix),
        "cgroups": {t: cgroups.children(found, f"{parent}/{t}") for t in cgroups.children(found, parent)},
        "rules": subprocess.run(["nft", "list", "table", "inet", prefix], capture_output=True, text=True).stdout,
        "files": sorted(str(p) for p in (*ground.paths.containers.glob("**/*"), *(ground.paths.run).glob("*/*"))),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "processes": processes(ground),
        "namespaces": namespaces(ground),
    }


def namespaces(ground: EngineGround) -> int:
    """Return how many network namespaces belong to the ground's user namespaces: lsns lists those that nobody is in, too."""
    owners = {str(path.stat().st_ino) for path in (ground.paths.run / "tenants").glob("*")}
    said = subprocess.run(["lsns", "--type", "net", "--noheadings", "--output", "ONS"], capture_output=True, text=True).stdout
    return sum(1 for line in said.splitlines() if line.strip() in owners)


def processes(ground: EngineGround) -> list[str]:
    """Return the command lines of conmon and the runtime at work for this ground."""
    found = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(line for line in found if str(ground.paths.run) in line)


def cycle(ground: EngineGround, number: int) -> None:
    """Make, start, use, stop and remove a container; every fifth publishes a port."""
    ports = (PortMapping(host_port=22_990, container_port=5000),) if number % 5 == 0 else ()
    spec = ContainerSpec(image="busybox", argv=("server",), tenant=ground.tenant(1 + number % 2), ports=ports)
    container = ground.engine.start(ground.engine.create(spec).id)
    ground.engine.exec(container.id, ["true"])
    ground.engine.stop(container.id)
    ground.engine.remove(container.id)


def at_rest(ground: EngineGround) -> dict[str, object]:
    """Return the traces of a ground whose first tenant had a container: its bridge is there, and nothing of the container."""
    cycle(ground, 0)
    return settled(ground, lambda found: len(found["interfaces"]) == 1)  # type: ignore[arg-type]


def settled(ground: EngineGround, is_true: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    """Wait until the kernel has taken network namespaces down, which it does a moment after their last process."""
    deadline = time.monotonic() + 10
    while not is_true(found := traces(ground)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
