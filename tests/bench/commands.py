"""How long a command takes that does next to nothing: `apps:list` by the local client and over SSH, medians.

Run: tests/run.sh once, then
    sudo /var/tmp/paas-tests/venv/bin/python tests/bench/commands.py [--rounds 30]
Goals: local 60 ms, SSH 200 ms, each a whole process from start to end. `ssh again` shares one connection (ControlMaster).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import PAAS, Instance  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with Instance() as instance:
        for name in ("shop", "blog", "wiki"):
            instance.paas("apps:create", name).expect()
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={instance.base}/ssh", "-o", "ControlPersist=60"]
        report("paas apps:list", rounds, lambda: local(instance))
        report("ssh paas@host apps:list", rounds, lambda: instance.ssh("apps:list").expect())
        report("ssh again, shared connection", rounds, lambda: instance.ssh("apps:list", options=shared).expect())
        instance.ssh(options=[*shared, "-O", "exit"])


def local(instance: Instance) -> None:
    subprocess.run([PAAS, "apps:list"], env={"PATH": "/usr/bin:/bin", **instance.env}, stdout=subprocess.DEVNULL, check=True)


def report(what: str, rounds: int, command: Callable[[], object]) -> None:
    """Run the command once to warm up, then so many times; print median and slowest."""
    command()
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        command()
        took.append((time.perf_counter() - started) * 1000)
    print(f"{what:<30} median {statistics.median(took):6.1f} ms   slowest {max(took):6.1f} ms   of {rounds}")


if __name__ == "__main__":
    main()
