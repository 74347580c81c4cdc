"""Create + start to the first HTTP 200 of a static binary, in its own network, user namespace and limits; and Docker's.

    python tests/bench/engine.py [rounds]

Prints medians with a breakdown by phase, and the ratio to `docker run -d` where a Docker engine answers.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine_ground import EngineGround, compiled_server, engine_ground
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
    docker = _docker_times(rounds)
    if docker:
        ours = statistics.median(phase["create + start to HTTP 200"] for phase in phases)
        theirs = statistics.median(docker)
        print(f"{'docker run -d to HTTP 200':<28}{theirs:8.1f} ms   ratio {theirs / ours:.1f}")
    else:
        print("no Docker engine answers: no ratio")


def _start_once(ground: EngineGround) -> dict[str, float]:
    spec = ContainerSpec(image="busybox", argv=("/bin/server",), tenant=ground.tenant(1), limits=LIMITS)
    begun = time.perf_counter()
    container = ground.engine.create(spec)
    created = time.perf_counter()
    container = ground.engine.start(container.id)
    started = time.perf_counter()
    _first_answer(container.address, 5000)
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


def _first_answer(address: str, port: int) -> None:
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


def _docker_times(rounds: int) -> list[float]:
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return []
    image = "paas-bench-server"
    context = compiled_server().parent
    (context / "Dockerfile").write_text('FROM scratch\nCOPY server /server\nCMD ["/server"]\n')
    subprocess.run(["docker", "build", "-q", "-t", image, context], check=True, capture_output=True)
    return [_docker_start_once(image) * 1000 for _ in range(rounds)]


def _docker_start_once(image: str) -> float:
    argv = ["docker", "run", "-d", "-m", "128m", "--cpus", "1", "--pids-limit", "100", image]
    begun = time.perf_counter()
    name = _output(*argv)
    running = time.perf_counter() - begun
    address = _output("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
    asked = time.perf_counter()  # asking for the address is not part of the start
    _first_answer(address, 5000)
    answered = time.perf_counter() - asked
    _output("docker", "rm", "-f", name)
    return running + answered


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
