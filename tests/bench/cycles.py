"""Create, start, exec in, stop and remove a container again and again; then compare all that containers could leave behind.

    sudo PATH=<environment>/bin:$PATH python tests/bench/cycles.py [cycles]

Descriptors, mounts, network namespaces, interfaces, names and addresses, control groups, nft rules, files, processes and resident
memory of the process that does it. Exits with 1 when anything but memory differs. (A short version is a test.)
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine_ground import EngineGround, engine_ground
from integration.engines.traces import cycle, settled

#: Until then the interpreter fills its caches, which are bounded.
WARM_UP = 150


def main() -> int:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with engine_ground() as ground:
        ground.engine.preload()
        for number in range(WARM_UP):
            cycle(ground, number)
        before = settled(ground, lambda found: len(found["interfaces"]) == 2)  # type: ignore[arg-type]
        before |= more(ground)
        memory_before, begun = resident_kib(), time.monotonic()
        for number in range(cycles):
            cycle(ground, number)
        seconds, memory_after = time.monotonic() - begun, resident_kib()
        after = settled(ground, lambda found: {**found, **more(ground)} == before) | more(ground)
        different = [name for name in before if before[name] != after[name]]
        print(f"{cycles} cycles, {seconds / cycles * 1000:.0f} ms each; resident {memory_before} -> {memory_after} KiB")
        for name in before:
            print(f"    {name:<12} {size(before[name])} -> {size(after[name])}{'   DIFFERENT' if name in different else ''}")
        return int(bool(different))


def more(ground: EngineGround) -> dict[str, object]:
    """Return what traces has not: claims on names and addresses, and what doctor would find."""
    claims = sorted(path.name for path in (ground.paths.containers / ".claims").glob("*/*"))
    return {"claims": claims, "orphans": ground.engine.orphans()}


def size(value: object) -> object:
    return len(value) if isinstance(value, list | tuple | dict | str) else value


def resident_kib() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    sys.exit(main())
