"""Create + start to the first HTTP 200 of a static binary, in its own network, user namespace and limits.

    python tests/bench/engine.py [rounds]

Prints medians with a breakdown by phase; beside_docker.py has the ratios.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine_ground import EngineGround, engine_ground
from paas.model.container import ContainerSpec, Limits

LIMITS = Limits(memory_bytes=128 << 20, cpu_millis=1000, pids=100)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with engine_ground() as ground:
        ground.engine.preload()
        _start_once(ground)  # makes the tenant, compiles the seccomp profile: once per boot
        phases = [_start_once(ground) for _ in range(rounds)]
    for name in phases[0]:
        values = [phase[name] for phase in phases]
        print(f"{name:<28}{statistics.median(values):8.1f} ms   (min {min(values):.1f}, max {max(values):.1f})")


def _start_once(ground: EngineGround) -> dict[str, float]:
    spec = ContainerSpec(image="busybox", argv=("/bin/server",), tenant=ground.tenant(1), limits=LIMITS)
    begun = time.perf_counter()
    container = ground.engine.create(spec)
    created = time.perf_counter()
    container = ground.engine.start(container.id)
    started = time.perf_counter()
    first_answer(container.address, 5000)
    answered = time.perf_counter()
    ground.engine.stop(container.id)
    stopped = time.perf_counter()
    ground.engine.remove(container.id)
    removed = time.perf_counter()
    times = {
        "create": created - begun,
        "start": started - created,
        "answer": answered - started,
        "create + start to HTTP 200": answered - begun,
        "stop": stopped - answered,
        "remove": removed - stopped,
    }
    return {name: seconds * 1000 for name, seconds in times.items()}


def first_answer(address: str, port: int) -> None:
    """Ask for a page until it comes."""
    _until(lambda: _get(address, port).startswith(b"HTTP/1.1 200"))


def _get(address: str, port: int) -> bytes:
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return connection.recv(4096)
    except OSError:
        return b""


def _until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError("no answer in 30 s")
        time.sleep(0.0005)


if __name__ == "__main__":
    main()
