"""Compare: every case of tests/data/builds, every faulty Dockerfile of tests/data/dockerfiles, with Docker and BuildKit.

What is compared with is what the cases expect: the suite shows that it is so here.

Run: tests/run.sh once (it makes the environment), start engines of your own (conformance_buildkit.py says how BuildKit), then
    sudo PATH=<environment>/bin:$PATH python tests/conformance_docker.py --docker unix:///tmp/docker.sock
         --buildkit unix:///tmp/buildkit.sock [-k WORD] [--client docker] [--buildctl buildctl] [--registry 127.0.0.1:5000]
         [--write docs/conformance.md]
Exits non-zero when an answer differs that the case does not explain, or agrees where it does: in its file `docker` for both
engines, `docker-engine` for Docker alone, `buildkit` for BuildKit alone.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import BASE, BASE_CONFIG, Answer, Case, fill_base, load_cases
from conformance_archive import answer_of, read_archive
from conformance_buildkit import BuildKit
from conformance_page import Comparison, Finding, render_page

FAULTY = Path(__file__).parent / "data" / "dockerfiles"
#: What those build on; it is not looked into.
FAULTY_BASES = ("debian", "a", "b")
_LINE = re.compile(r"^\S*[Dd]ockerfile\S*?:(\d+)", re.M)
_REASON = re.compile(r"^(?:ERROR|error): failed to (?:solve|build): (.+)$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A Docker engine that is for this comparison only."""

    client: str
    host: str
    name: str = "Docker"

    @property
    def version(self) -> str:
        return self.output("version", "--format", "{{.Server.Version}}")

    def call(self, *argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the client; what it says is text."""
        fixed = {"DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        done = subprocess.run([self.client, *argv], env={**os.environ, **fixed, **(env or {})}, text=True, capture_output=True)
        if "Cannot connect to the Docker daemon" in done.stderr:
            sys.exit(f"docker {argv[0]}: {done.stderr}")
        return done

    def output(self, *argv: str) -> str:
        """Run the client and return its output; it must succeed."""
        done = self.call(*argv)
        if done.returncode:
            sys.exit(f"docker {argv[0]}: {done.stderr}")
        return done.stdout.strip()

    def import_base(self, work: Path) -> None:
        """Give it the cases' base image."""
        root = work / "base"
        root.mkdir()
        fill_base(root)
        subprocess.run(["tar", "--numeric-owner", "--sort=name", "-C", root, "-cf", work / "base.tar", "."], check=True)
        changes = [f"ENV {name}={value}" for name, value in BASE_CONFIG.env] + [f"CMD {json.dumps(BASE_CONFIG.cmd)}"]
        self.output("import", *(f"--change={change}" for change in changes), str(work / "base.tar"), BASE)
        for name in FAULTY_BASES:
            self.output("tag", BASE, name)

    def build(self, case: Case, work: Path) -> Answer:
        """Build a case there, with nothing kept of earlier ones: an old context would lend its times to this one."""
        self.output("builder", "prune", "--all", "--force")
        tree = case.make_context(work)
        argv = ["build", "--tag", "conformance", "--file", str(tree / case.file)]
        argv += [f"--build-arg={name}={value}" for name, value in case.pairs("given").items()]
        argv += [f"--secret=id={name},env=SECRET_{name}" for name in case.pairs("secret")]
        argv += [f"--target={case.target}"] if case.target else []
        secrets = {f"SECRET_{name}": value for name, value in case.pairs("secret").items()}
        done = self.call(*argv, str(tree), env=secrets)
        if done.returncode:
            return Answer(error=done.stderr)
        return self.answer("conformance", work)

    def answer(self, image: str, work: Path) -> Answer:
        """Return an image's files and configuration."""
        found, archive = self._inspect(image), work / "image.tar"
        if not found["RootFS"].get("Layers"):  # `docker save` refuses an image without layers
            return answer_of([], [], found["Config"])
        self.output("save", "--output", str(archive), image)
        return read_archive(archive, work / "image", base_diff_id=self._inspect(BASE)["RootFS"]["Layers"][0])

    def _inspect(self, image: str) -> dict[str, Any]:
        return dict(json.loads(self.output("image", "inspect", image))[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", metavar="HOST")
    parser.add_argument("--client", default="docker")
    parser.add_argument("--buildkit", metavar="ADDRESS")
    parser.add_argument("--buildctl", default="buildctl")
    parser.add_argument("--registry", default="127.0.0.1:5000")
    parser.add_argument("--write", type=Path)
    parser.add_argument("-k", default="", metavar="WORD")
    options = parser.parse_args()
    engines: list[Docker | BuildKit] = []
    if options.buildkit:
        engines.append(BuildKit(client=options.buildctl, address=options.buildkit, registry=options.registry, bases=FAULTY_BASES))
    if options.docker:
        engines.append(Docker(client=options.client, host=options.docker))
    compared = compare_all(engines, options.k)
    for comparison in compared:
        print(comparison.describe())
    if options.write:
        read = sum(not path.name.startswith("error-") for path in FAULTY.iterdir())
        options.write.write_text(render_page(compared, read))
    return 1 if any(comparison.wrong for comparison in compared) else 0


def compare_all(engines: Sequence[Docker | BuildKit], word: str) -> list[Comparison]:
    """Build all cases on each engine, and compare with what the suite has found here."""
    findings: dict[str, list[Finding]] = {engine.name: [] for engine in engines}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        for engine in engines:
            (Path(directory) / engine.name).mkdir()
            engine.import_base(Path(directory) / engine.name)
        for case in load_cases() + [Case(directory=path) for path in sorted(FAULTY.glob("error-*"))]:
            if word not in case.name:
                continue
            for engine in engines:
                found = compare(case, case.expected, _build_there(engine, case), engine.name)
                findings[engine.name].append(found)
                print(f"{engine.name}: {found.describe()}", flush=True)
    return [Comparison(engine=e.name, version=e.version, findings=tuple(findings[e.name])) for e in engines]


def _build_there(engine: Docker | BuildKit, case: Case) -> Answer | None:
    """Build a case on an engine; None when that would be its end."""
    if "engine dies" in case.difference(engine.name):
        return None
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        return engine.build(case, Path(work))


def compare(case: Case, ours: Answer, theirs: Answer | None, engine: str) -> Finding:
    """Compare two answers, of errors only that there is one and at which line."""
    if theirs is None:
        found = [f"{engine} dies of it"]
    elif ours.error and theirs.error:
        lines = [next(iter(_LINE.findall(text)), "") for text in (ours.error, theirs.error)]
        found = [f"line {lines[0]} here, {lines[1]} there"] if all(lines) and lines[0] != lines[1] else []
    elif ours.error:
        found = [f"only we refuse: {ours.error.splitlines()[0]}"]
    elif theirs.error:
        found = [f"only {engine} refuses: {next(iter(_REASON.findall(theirs.error)), theirs.error[-200:])}"]
    else:
        found = [line for line in difflib.ndiff(_lines(ours), _lines(theirs)) if line.startswith(("-", "+"))]
    return Finding(
        name=case.name, is_build=case.directory.parent != FAULTY, is_refused=bool(ours.error), differences=tuple(found),
        explanation=case.difference(engine),
    )  # fmt: skip


def _lines(answer: Answer) -> list[str]:
    """Return the files and each key of the configuration as lines."""
    return answer.files.splitlines() + [f"{key}: {json.dumps(value)}" for key, value in json.loads(answer.config).items()]


if __name__ == "__main__":
    sys.exit(main())
