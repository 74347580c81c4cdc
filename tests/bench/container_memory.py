"""What a running container costs beside the app: its conmon and its init, as PSS and as private memory.

Run: sudo <environment>/bin/python tests/bench/container_memory.py [containers]
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine_ground import engine_ground
from paas.model.container import ContainerSpec


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with engine_ground() as ground:
        spec = ContainerSpec(image="busybox", argv=("/bin/server",), tenant=ground.tenant(1))
        inits = [ground.engine.start(ground.engine.create(spec).id).pid for _ in range(count)]
        rows = {"conmon": [parent_of(pid) for pid in inits], "init (tini)": inits}
        for name, pids in rows.items():
            pss = statistics.median(memory_kb(pid, "Pss") for pid in pids)
            private = statistics.median(memory_kb(pid, "Private_Dirty") + memory_kb(pid, "Private_Clean") for pid in pids)
            print(f"{name:<14} PSS {pss:6.0f} kB   private {private:6.0f} kB   median of {count}")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def memory_kb(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
