"""From a command to its effect: `ps:rollback` and `config:set` until the new release answers through nginx, over real SSH.

Run: tests/run.sh once, then, with its environment,
    sudo python tests/bench/releases.py [--rounds 7]
Goals: 1.5 s each. A client polls the URL all the time; "live" is when it first sees the new text.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from e2e.samples import app  # noqa: E402
from harness import Instance  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with Instance() as instance:
        repository = instance.repository(app("one"))
        repository.push("bench").expect()
        repository.commit(app("two"))
        repository.push("bench").expect()
        rollbacks = [timed(instance, ("ps:rollback", "bench"), "/", ("one", "two")[n % 2]) for n in range(rounds)]
        changes = [timed(instance, ("config:set", "bench", f"A={n}"), "/env/A", str(n)) for n in range(rounds)]
    for what, times in (("ps:rollback", rollbacks), ("config:set", changes)):
        live, returned = zip(*times, strict=True)
        print(
            f"{what:<12} live {statistics.median(live):.2f} s (slowest {max(live):.2f} s), "
            f"returned {statistics.median(returned):.2f} s, median of {rounds}"
        )


def timed(instance: Instance, command: tuple[str, ...], path: str, expected: str) -> tuple[float, float]:
    """Return the seconds until the text is served, and until the command returned."""
    seen: list[float] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set() and not seen:
            if instance.get("bench.localhost", path).text == expected:
                seen.append(time.monotonic())
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    started = time.monotonic()
    watcher.start()
    done = instance.ssh(*command)
    returned = time.monotonic()
    watcher.join(5)
    is_over.set()
    if done.code != 0 or not seen:
        sys.exit(f"{' '.join(command)} failed:\n{done.output}")
    return seen[0] - started, returned - started


if __name__ == "__main__":
    main()
