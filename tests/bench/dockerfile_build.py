"""Dockerfile builds: cold, with everything cached, with one file changed. Medians, in seconds.

Run: tests/run.sh once (it makes the base image), then
    sudo /var/tmp/paas-tests/venv/bin/python tests/bench/dockerfile_build.py [--rounds 10] [--files 200]
         [--docker unix:///path/of/docker.sock] [--client docker]
"cold" builds ten steps of which four run a command; no package manager takes part, so it measures us and not a mirror.
A tree that stays in place is compared with a fresh checkout, whose files have new inodes and times. With --docker each round
of ours is followed by one of `docker build` on the same base image and the same tree.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).parent.parent))

from engine_ground import engine_ground  # noqa: E402
from harness import STACK_IMAGES  # noqa: E402
from paas.builders.dockerfile.builder import build_image  # noqa: E402
from paas.builders.dockerfile.order import BuildOrder  # noqa: E402
from paas.engines.embedded.engine import EmbeddedEngine  # noqa: E402
from paas.model.container import Tenant  # noqa: E402
from paas.oci.layer import pack_layer  # noqa: E402
from paas.oci.store import ImageStore  # noqa: E402
from paas.output import Output  # noqa: E402
from paas.paths import Paths  # noqa: E402
from paas.settings import Settings  # noqa: E402

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


class Build(Protocol):
    """Builds a tree and says how many seconds it took."""

    def __call__(self, tree: Path, /, *, uses_cache: bool = True) -> float: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--docker", metavar="HOST", default="")
    parser.add_argument("--client", default="docker")
    options = parser.parse_args()
    peer = Peer(client=options.client, host=options.docker) if options.docker else None
    with engine_ground(images=STACK_IMAGES) as ground:
        if peer is not None:
            peer.take_base(ground.store, ground.paths.root / "base.tar")
        for files in (10, options.files):
            measure(files, options.rounds, ground.engine, ground.paths, ground.settings, peer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A Docker engine to compare with."""

    client: str
    host: str

    def run(self, *argv: str | Path) -> float:
        """Run the client to its end and return how long it took."""
        environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1"}
        started = time.perf_counter()
        subprocess.run([self.client, *argv], env=environment, capture_output=True, check=True)
        return time.perf_counter() - started

    def take_base(self, store: ImageStore, tar: Path) -> None:
        """Give it the base image that we build on."""
        image = store.image("debian:12")
        with tar.open("wb") as stream:
            pack_layer(store.layer_dir(image.layers[0]), stream)
        self.run("import", tar, "debian:12")

    def build(self, tree: Path, *, uses_cache: bool = True) -> float:
        """Build a tree there."""
        return self.run("build", *([] if uses_cache else ["--no-cache"]), "--tag", "bench", tree)


def measure(files: int, rounds: int, engine: EmbeddedEngine, paths: Paths, settings: Settings, peer: Peer | None) -> None:
    tree = paths.root / f"tree-{files}"
    make_tree(tree, files)

    def build(where: Path, *, uses_cache: bool = True) -> float:
        output = Output(io.StringIO(), io.StringIO())
        order = BuildOrder(tree=where, cache=paths.root / "cache", output=output, tenant=TENANT, uses_cache=uses_cache)
        started = time.perf_counter()
        build_image(order, engine=engine, paths=paths, settings=settings)
        return time.perf_counter() - started

    builders: list[Build] = [build] if peer is None else [build, peer.build]

    def changed(build: Build) -> float:
        (tree / "app.py").write_text(f"{time.time_ns()}\n")
        return build(tree)

    def checked_out(build: Build) -> float:
        with tempfile.TemporaryDirectory(dir=paths.root) as fresh:
            shutil.copytree(tree, Path(fresh) / "tree")
            return build(Path(fresh) / "tree")

    time.sleep(2.5)  # a file just written is not yet trusted to stay as it is
    report(f"cold, {files} files", rounds, builders, lambda build: build(tree, uses_cache=False))
    for each in builders:
        each(tree)
    report(f"cached, {files} files, same tree", rounds, builders, lambda build: build(tree))
    report(f"cached, {files} files, fresh checkout", rounds, builders, checked_out)
    report(f"one file of {files} changed", rounds, builders, changed)


def report(what: str, rounds: int, builders: Sequence[Build], once: Callable[[Build], float]) -> None:
    """Measure all builders in turn and print each one's median, ours first, and how many times ours goes into the peer's."""
    seconds = [[once(build) for build in builders] for _ in range(rounds)]
    columns = [sorted(column) for column in zip(*seconds, strict=True)]
    medians = [statistics.median(column) for column in columns]
    texts = [f"{median:.3f} s ({column[0]:.3f} to {column[-1]:.3f})" for median, column in zip(medians, columns, strict=True)]
    ratio = f"{medians[1] / medians[0]:.1f} times" if len(medians) > 1 else ""
    print(f"{what:40} {'   Docker '.join(texts)}   {ratio}", flush=True)


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
