"""Containers beside Docker's in one run, in turns: run to the first HTTP 200, exec, removal; many containers; memory of each.

    sudo PATH=<environment>/bin:<docker>:$PATH python tests/bench/beside_docker.py [--rounds 10] [--many 100]

Both command lines are measured from their start to their end, as a user types them; "in the server" is the same work without
our client, as a deploy does it. dockerd.py says where a Docker engine comes from.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from dockerd import Docker, docker_engine
from engine import first_answer

from engine_ground import BUSYBOX, compiled_server, make_image
from harness import Instance
from paas.engines.embedded.engine import EmbeddedEngine
from paas.model.container import ContainerSpec, Limits
from paas.oci.store import ImageStore
from paas.paths import Paths
from paas.settings import load_settings

FLAGS = ("-m", "128m", "--cpus", "1", "--pids-limit", "100")
LIMITS = Limits(memory_bytes=128 << 20, cpu_millis=1000, pids=100)
IMAGE = "paas-bench-server"


@dataclass(kw_only=True)
class Side:
    """One of the two, by its command lines."""

    name: str
    command: Callable[..., list[str]]
    address: Callable[[str], str]
    image: str
    times: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, what: str, work: Callable[[], object]) -> object:
        begun = time.perf_counter()
        result = work()
        self.times.setdefault(what, []).append((time.perf_counter() - begun) * 1000)
        return result

    def say(self, *words: str) -> str:
        return subprocess.run(self.command(*words), check=True, capture_output=True, text=True).stdout.strip()

    def round(self) -> None:
        begun = time.perf_counter()
        container = self.say("run", "-d", *FLAGS, self.image, "/bin/server")
        running = time.perf_counter() - begun
        address = self.address(container)  # asking for it is no part of the start
        asked = time.perf_counter()
        first_answer(address, 5000)
        self.times.setdefault("run to HTTP 200", []).append((running + time.perf_counter() - asked) * 1000)
        self.measure("exec", lambda: self.say("exec", container, "/bin/true"))
        self.measure("rm -f", lambda: self.say("rm", "-f", container))


def main() -> None:
    options = _options()
    with Instance() as instance, docker_engine() as docker:
        make_image(ImageStore(instance.root / "images"))
        sides = [_ours(instance)]
        if docker is not None:
            docker.build_server(compiled_server(), BUSYBOX, IMAGE)
            sides.append(_dockers(docker))
        engine = _engine(instance)
        inside: dict[str, list[float]] = {}
        for number in range(options.rounds + 1):
            for side in sides:
                side.round()
            _round_inside(engine, inside)
            if number == 0:  # what is made once: a tenant, a compiled profile, warm caches
                for side in sides:
                    side.times.clear()
                inside.clear()
        _report(sides, inside)
        many = {side.name: _many(side, options.many, instance if side.name == "paas" else docker) for side in sides}
        _report_many(many, options.many, _many_inside(engine, options.many))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--many", type=int, default=100)
    return parser.parse_args()


def _ours(instance: Instance) -> Side:
    os.environ.update(instance.env)
    paas = _installed_command(instance.base)

    def address(container: str) -> str:
        said = subprocess.run([paas, "container:inspect", container], check=True, capture_output=True, text=True).stdout
        return str(json.loads(said)[0]["address"])

    def command(verb: str, *words: str) -> list[str]:
        return [str(paas), f"container:{verb}", *words]

    return Side(name="paas", command=command, address=address, image="busybox")


def _installed_command(directory: Path) -> Path:
    """Write the command as the installer does; the test environment's own costs more to start."""
    checkout, command = Path(__file__).parent.parent.parent, directory / "paas"
    command.write_text(
        f'#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, "{checkout}")\n'
        "from paas.cli.main import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    return command


def _dockers(docker: Docker) -> Side:
    where = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return Side(name="docker", command=docker.argv, address=lambda c: docker("inspect", "-f", where, c), image=IMAGE)


def _engine(instance: Instance) -> EmbeddedEngine:
    paths = Paths(root=instance.root, run=instance.run_dir, etc=instance.etc)
    engine = EmbeddedEngine(paths=paths, settings=load_settings(paths.settings_file))
    engine.preload()
    return engine


def _round_inside(engine: EmbeddedEngine, times: dict[str, list[float]]) -> None:
    marks = [time.perf_counter()]
    container = engine.create(ContainerSpec(image="busybox", argv=("/bin/server",), limits=LIMITS))
    container = engine.start(container.id)
    first_answer(container.address, 5000)
    marks.append(time.perf_counter())
    engine.exec(container.id, ["/bin/true"])
    marks.append(time.perf_counter())
    engine.remove(container.id, is_forced=True)
    marks.append(time.perf_counter())
    for what, begun, ended in zip(("run to HTTP 200", "exec", "rm -f"), marks, marks[1:], strict=False):
        times.setdefault(what, []).append((ended - begun) * 1000)


def _report(sides: list[Side], inside: dict[str, list[float]]) -> None:
    for what, values in sides[0].times.items():
        ours, within = statistics.median(values), statistics.median(inside[what])
        line = f"{what:<18} paas {ours:7.1f} ms   in the server {within:7.1f} ms"
        for side in sides[1:]:
            theirs = statistics.median(side.times[what])
            line += f"   {side.name} {theirs:7.1f} ms: {theirs / ours:.1f} and {theirs / within:.1f} times"
        print(line, flush=True)


def _many(side: Side, count: int, owner: object) -> tuple[float, float, float]:
    before = _memory_kib(owner)
    begun = time.perf_counter()
    containers = [side.say("run", "-d", *FLAGS, side.image, "/bin/server") for _ in range(count)]
    started = time.perf_counter() - begun
    time.sleep(1)  # until the last ones have settled, for the memory
    each = (_memory_kib(owner) - before) / count
    begun = time.perf_counter()
    side.say("rm", "-f", *containers)
    return started, time.perf_counter() - begun, each


def _many_inside(engine: EmbeddedEngine, count: int) -> tuple[float, float]:
    """Start and remove one after the other, as docker run does."""
    marks = [time.perf_counter()]
    spec = ContainerSpec(image="busybox", argv=("/bin/server",), limits=LIMITS)
    containers = [engine.start(engine.create(spec).id).id for _ in range(count)]
    marks.append(time.perf_counter())
    for container in containers:
        engine.remove(container, is_forced=True)
    marks.append(time.perf_counter())
    return marks[1] - marks[0], marks[2] - marks[1]


def _memory_kib(owner: object) -> float:
    """Return the PSS of everything that is there for containers beside the app: daemons, shims, monitors, inits, proxies."""
    if isinstance(owner, Docker):
        names = {"dockerd", "containerd", "containerd-shim", "docker-proxy"}
        pids = [p for p in _pids() if _word(p) in names and "docker-bench-" in _line(p)]
    else:
        assert isinstance(owner, Instance) and owner.server is not None
        pids = [p for p in _pids() if (_word(p) == "conmon" and str(owner.root) in _line(p)) or _line(p).startswith("/dev/.init")]
        pids += _family(owner.server.pid)
    return sum(_pss(pid) for pid in pids)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _word(pid: int) -> str:
    return Path(_line(pid).partition("\0")[0]).name.removesuffix("-runc-v2")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _pss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _report_many(many: dict[str, tuple[float, float, float]], count: int, inside: tuple[float, float]) -> None:
    for name, (start, remove, each) in many.items():
        print(f"{name:<8} {count} containers: start {start:6.1f} s   remove {remove:6.1f} s   {each:7.0f} KiB each")
    print(f"in the server {count} containers: start {inside[0]:6.1f} s   remove {inside[1]:6.1f} s, one after the other")
    if "docker" in many:
        ours, theirs = many["paas"], many["docker"]
        print("docker takes " + ", ".join(f"{b / a:.1f} times" for a, b in zip(ours, theirs, strict=True)) + " of these")
        print(f"and {theirs[0] / inside[0]:.1f} and {theirs[1] / inside[1]:.1f} times what it takes in the server")


if __name__ == "__main__":
    main()
