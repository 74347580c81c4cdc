"""Resident memory of all our processes, idle: right after the start, and after use.

Run: tests/run.sh once, then
    sudo /var/tmp/paas-tests/venv/bin/python tests/bench/memory.py
PSS counts a page that several processes share once, so its sum is what the machine gives up for us; RSS counts it for each.
Goal: 90 MB in all.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import Instance  # noqa: E402

SETTLE_S = 3.0


def main() -> None:
    with Instance() as instance:
        time.sleep(SETTLE_S)
        report("idle after start", instance)
        for _ in range(50):
            instance.ssh("apps:list").expect()
            instance.paas("apps:list").expect()
        time.sleep(SETTLE_S)
        report("idle after 50 commands over SSH and 50 local ones", instance)


def report(when: str, instance: Instance) -> None:
    """Print the memory of each process and of all."""
    assert instance.server is not None
    print(when)
    total = {"Pss": 0, "Rss": 0}
    for pid in family(instance.server.pid):
        used = memory_kib(pid)
        total = {kind: total[kind] + used[kind] for kind in total}
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        print(f"    {name:<16} PSS {used['Pss'] / 1024:6.1f} MB   RSS {used['Rss'] / 1024:6.1f} MB")
    print(f"    {'all':<16} PSS {total['Pss'] / 1024:6.1f} MB   RSS {total['Rss'] / 1024:6.1f} MB")


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def memory_kib(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {"Pss": fields["Pss"], "Rss": fields["Rss"]}


if __name__ == "__main__":
    main()
