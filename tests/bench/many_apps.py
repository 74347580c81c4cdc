"""What commands cost on a machine full of apps: push, scale and apps:list with one app and with many, and a boot of all.

Run: sudo tests/run.sh once (it makes the environment and the base image), then
    sudo PATH=<environment>/bin:$PATH python tests/bench/many_apps.py [--apps 300] [--rounds 9]
Every app is one idle container of a static web server. Each figure is a median; "boot" is from the server's start on a machine
that has just booted (no container, network or mount is there) until the last app answers through nginx.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine_ground import compiled_server  # noqa: E402
from harness import Instance, Repository  # noqa: E402

DOCKERFILE = 'FROM scratch\nCOPY server /server\nCOPY version /version\nCMD ["/server"]\n'
PUSHED, SCALED = "bench", "bench-scaled"
#: Enough networks for all apps; a slot of the tests has 64.
POOL = "10.16.0.0/12"
BOOT_LIMIT_S = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with Instance(settings={"network_pool": POOL, "pids": 64}) as instance:
        repository = instance.repository({"Dockerfile": DOCKERFILE, "version": "0"})
        shutil.copy2(compiled_server(), repository.directory / "server")
        repository.commit({})
        for app in (PUSHED, SCALED):
            repository.push(app).expect()
        few = measure(instance, repository, options.rounds)
        fill(instance, repository, options.apps)
        many = measure(instance, repository, options.rounds)
        for what, seconds in few.items():
            ratio = many[what] / seconds
            few_ms, many_ms = seconds * 1000, many[what] * 1000
            print(f"{what:<10} 2 apps {few_ms:7.1f} ms   {options.apps} apps {many_ms:7.1f} ms   {ratio:.2f} times")
        print(f"boot to all {options.apps} apps answering: {boot(instance):.1f} s")


def measure(instance: Instance, repository: Repository, rounds: int) -> dict[str, float]:
    """Return the medians in seconds of a one-line push, a scale by one and apps:list."""

    def change(number: int) -> None:
        repository.commit({"version": f"{time.monotonic_ns()}-{number}"})

    return {
        "push": median(rounds, lambda _: repository.push(PUSHED).expect(), before=change),
        "ps:scale": median(rounds, lambda number: instance.paas("ps:scale", SCALED, f"web={1 + number % 2}").expect()),
        "apps:list": median(rounds, lambda _: instance.paas("apps:list").expect()),
    }


def median(rounds: int, work: Callable[[int], object], *, before: Callable[[int], object] = lambda _: None) -> float:
    """Return the median seconds of `work(round)`, each after `before(round)`, and once to warm up."""
    took = []
    for number in range(rounds + 1):
        before(number)
        started = time.monotonic()
        work(number)
        took.append(time.monotonic() - started)
    return statistics.median(took[1:])


def fill(instance: Instance, repository: Repository, count: int) -> None:
    """Push apps until there are so many."""
    for number in range(len(names(instance)), count):
        repository.push(f"idle{number}").expect()


def names(instance: Instance) -> list[str]:
    """Return all apps."""
    return instance.paas("--quiet", "apps:list").expect().stdout.split()


def boot(instance: Instance) -> float:
    """Take everything down as a shutdown does, start the server, and return the seconds until every app answers."""
    waiting = set(names(instance))
    found = [json.loads(instance.paas("ps:inspect", app).expect().stdout) for app in waiting]
    instance.shut_down(*(container["pid"] for containers in found for container in containers if container["pid"]))
    started = time.monotonic()
    instance.start()
    while waiting:
        waiting -= {app for app in waiting if instance.get(f"{app}.localhost").status == 200}
        if time.monotonic() - started > BOOT_LIMIT_S:
            sys.exit(f"{len(waiting)} apps do not answer after {BOOT_LIMIT_S} s")
    return time.monotonic() - started


if __name__ == "__main__":
    main()
