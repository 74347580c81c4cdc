"""Dockerfile builds: cold, with everything cached, with one file changed. Medians, in seconds.

Run: tests/run.sh once (it makes the base image), then
    sudo /var/tmp/paas-tests/venv/bin/python tests/bench/dockerfile_build.py [--rounds 9] [--files 2000]
"cold" builds ten steps of which four run a command; no package manager takes part, so it measures us and not a mirror.
A tree that stays in place is compared with a fresh checkout, whose files have new inodes and times.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from dockerfile_yard import remove_traces  # noqa: E402
from harness import STACK_IMAGES  # noqa: E402
from paas.builders.dockerfile.builder import build_image  # noqa: E402
from paas.builders.dockerfile.order import BuildOrder  # noqa: E402
from paas.engines.embedded.engine import EmbeddedEngine  # noqa: E402
from paas.model.container import Tenant  # noqa: E402
from paas.output import Output  # noqa: E402
from paas.paths import Paths  # noqa: E402
from paas.settings import Settings  # noqa: E402
from slots import claim_slot  # noqa: E402

TENANT = Tenant(name="bench", number=1)
DOCKERFILE = """FROM debian:12
WORKDIR /app
COPY deps .
RUN cat deps
RUN useradd app
ENV A=1
COPY . .
RUN ls -R . > listing
RUN wc -l listing
CMD ["cat", "listing"]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=int, default=2000)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="bd", dir="/tmp"))
    base.chmod(0o755)  # containers are other users and reach their roots through it
    paths = Paths(root=base / "lib", run=base / "run", etc=base / "etc")
    paths.root.mkdir()
    subprocess.run(["cp", "-al", STACK_IMAGES, paths.images], check=True)
    settings = Settings(**claim_slot().settings)  # type: ignore[arg-type]
    engine = EmbeddedEngine(paths=paths, settings=settings)
    try:
        for files in (10, options.files):
            measure(files, options.rounds, engine, paths, settings)
    finally:
        engine.release_tenant(TENANT)
        remove_traces(settings)
        shutil.rmtree(base)


def measure(files: int, rounds: int, engine: EmbeddedEngine, paths: Paths, settings: Settings) -> None:
    tree = paths.root / f"tree-{files}"
    make_tree(tree, files)

    def build(where: Path = tree, *, uses_cache: bool = True) -> float:
        output = Output(io.StringIO(), io.StringIO())
        order = BuildOrder(tree=where, cache=paths.root / "cache", output=output, tenant=TENANT, uses_cache=uses_cache)
        started = time.perf_counter()
        build_image(order, engine=engine, paths=paths, settings=settings)
        return time.perf_counter() - started

    def build_changed() -> float:
        (tree / "app.py").write_text(f"{time.time_ns()}\n")
        return build()

    def build_checkout() -> float:
        with tempfile.TemporaryDirectory(dir=paths.root) as fresh:
            shutil.copytree(tree, Path(fresh) / "tree")
            return build(Path(fresh) / "tree")

    time.sleep(2.5)  # a file just written is not yet trusted to stay as it is
    report(f"cold, {files} files", rounds, lambda: build(uses_cache=False))
    build()
    report(f"cached, {files} files, same tree", rounds, build)
    report(f"cached, {files} files, fresh checkout", rounds, build_checkout)
    report(f"one file of {files} changed", rounds, build_changed)


def report(what: str, rounds: int, once: Callable[[], float]) -> None:
    seconds = [once() for _ in range(rounds)]
    print(f"{what:40} {statistics.median(seconds):.3f} s  (fastest {min(seconds):.3f}, slowest {max(seconds):.3f})")


def make_tree(tree: Path, files: int) -> None:
    tree.mkdir()
    (tree / "Dockerfile").write_text(DOCKERFILE)
    (tree / "deps").write_text("none\n")
    (tree / "app.py").write_text("first\n")
    for number in range(files):
        file = tree / f"src/{number % 40}/{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n" * 200)


if __name__ == "__main__":
    main()
