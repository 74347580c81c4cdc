"""What commands cost on a machine full of apps: push, scale and apps:list with two apps and with many, and a boot of all.

Run: sudo tests/run.sh once (it makes the environment and the base image), then
    sudo PATH=<environment>/bin:$PATH python tests/bench/many_apps.py [--apps 300] [--rounds 15]
Every app is one idle container of a static web server. Two instances stand side by side, one with two apps and one with many, and
are asked in turn; each figure is a median. "boot" is from the server's start on a machine
that has just booted (no container, network or mount is there) until the last app answers through nginx.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a time limit leaves nothing behind
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with Instance(settings={"pids": 64}) as few, Instance(settings={"network_pool": POOL, "pids": 64}) as many:
        grounds = [Ground(instance=instance, repository=prepare(instance)) for instance in (few, many)]
        fill(grounds[1], options.apps)
        for what, work in WORK.items():
            one, full = (statistics.median(took) for took in alternate(work, grounds, options.rounds))
            times = f"2 apps {one * 1000:7.1f} ms   {options.apps} apps {full * 1000:7.1f} ms"
            print(f"{what:<10} {times}   {full / one:.2f} times")
        few.stop()
        print(f"boot to all {options.apps} apps answering: {boot(many):.1f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """An instance, and what is pushed to it."""

    instance: Instance
    repository: Repository


def prepare(instance: Instance) -> Repository:
    """Push the two apps that are measured."""
    repository = instance.repository({"Dockerfile": DOCKERFILE, "version": "0"})
    shutil.copy2(compiled_server(), repository.directory / "server")
    repository.commit({})
    for app in (PUSHED, SCALED):
        repository.push(app).expect()
    return repository


def push(ground: Ground, number: int) -> float:
    ground.repository.commit({"version": f"{number}"})
    return seconds(lambda: ground.repository.push(PUSHED).expect())


def scale(ground: Ground, number: int) -> float:
    return seconds(lambda: ground.instance.paas("ps:scale", SCALED, f"web={1 + number % 2}").expect())


def list_apps(ground: Ground, number: int) -> float:
    return seconds(lambda: ground.instance.paas("apps:list").expect())


WORK: dict[str, Callable[[Ground, int], float]] = {"push": push, "ps:scale": scale, "apps:list": list_apps}


def alternate(work: Callable[[Ground, int], float], grounds: list[Ground], rounds: int) -> list[list[float]]:
    """Do the work in turn on each ground, once to warm up and then so many times; return what it took on each."""
    took: list[list[float]] = [[] for _ in grounds]
    for number in range(1, rounds + 2):
        for ground, times in zip(grounds, took, strict=True):
            times.append(work(ground, number))
    return [times[1:] for times in took]


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def fill(ground: Ground, count: int) -> None:
    """Push apps until there are so many."""
    for number in range(len(names(ground.instance)), count):
        ground.repository.push(f"idle{number}").expect()


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
        time.sleep(0.05)
        if time.monotonic() - started > BOOT_LIMIT_S:
            sys.exit(f"{len(waiting)} apps do not answer after {BOOT_LIMIT_S} s")
    return time.monotonic() - started


if __name__ == "__main__":
    main()
