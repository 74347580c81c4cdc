"""Compare: every case of tests/data/builds, and every faulty Dockerfile of tests/data/dockerfiles, here and with Docker.

Run: tests/run.sh once (it makes the environment), start a Docker engine of your own, then
    sudo PATH=<environment>/bin:$PATH python tests/conformance_docker.py --docker unix:///tmp/docker.sock
         [-k WORD] [--client docker] [--write docs/conformance.md]
Exits non-zero when an answer differs that the case does not explain (its file `docker`), or agrees where it does.
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

from conformance import BASE, BASE_CONFIG, Answer, Case, build_ours, config_text, fill_base, listing, load_cases, make_base
from conformance_page import Finding, render_page
from dockerfile_yard import open_yard
from paas.builders.dockerfile.tree import LayeredTree
from paas.oci.unpack import unpack_layer

FAULTY = Path(__file__).parent / "data" / "dockerfiles"
#: What those build on; it is not looked into.
FAULTY_BASES = ("debian", "a", "b")
_LINE = re.compile(r"^\S*[Dd]ockerfile\S*?:(\d+)", re.M)
_REASON = re.compile(r"^ERROR: failed to (?:solve|build): (.+)$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A Docker engine that is for this comparison only."""

    client: str
    host: str

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
        found = self._inspect(image)
        diff_ids = found["RootFS"].get("Layers") or []
        is_on_base = diff_ids[:1] == self._inspect(BASE)["RootFS"]["Layers"]
        if diff_ids:
            layers, config = self._save(image, work / "image")
        else:  # `docker save` refuses an image without layers
            layers, config = [], found["Config"]
        files = listing(LayeredTree(layers), LayeredTree(layers[-1:] if is_on_base else ()))
        return Answer(files=files, config=config_text({k: v for k, v in config.items() if k != "ArgsEscaped"}))

    def _inspect(self, image: str) -> dict[str, Any]:
        return dict(json.loads(self.output("image", "inspect", image))[0])

    def _save(self, image: str, directory: Path) -> tuple[Sequence[Path], dict[str, Any]]:
        """Save an image and unpack its layers; return their directories, topmost first, and its `config`."""
        directory.mkdir()
        self.output("save", "--output", str(directory / "image.tar"), image)
        subprocess.run(["tar", "-C", directory, "-xf", directory / "image.tar"], check=True)
        manifest = json.loads((directory / "manifest.json").read_text())[0]
        layers: list[Path] = []
        for number, name in enumerate(manifest["Layers"]):
            target = directory / str(number)
            target.mkdir()
            unpack_layer((directory / name).resolve(), target, lowers=layers)
            layers.insert(0, target)
        return layers, json.loads((directory / manifest["Config"]).read_text())["config"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", required=True, metavar="HOST")
    parser.add_argument("--client", default="docker")
    parser.add_argument("--write", type=Path)
    parser.add_argument("-k", default="", metavar="WORD")
    options = parser.parse_args()
    docker = Docker(client=options.client, host=options.docker)
    version = docker.output("version", "--format", "{{.Server.Version}}")
    findings = compare_all(docker, options.k)
    wrong = [finding for finding in findings if not finding.is_settled]
    print(f"{len(findings)} cases with Docker {version}: {sum(f.is_same for f in findings)} the same, {len(wrong)} unexplained")
    if options.write:
        read = sum(not path.name.startswith("error-") for path in FAULTY.iterdir())
        options.write.write_text(render_page(findings, version, read))
    return 1 if wrong else 0


def compare_all(docker: Docker, word: str) -> list[Finding]:
    """Build all cases on both sides."""
    findings: list[Finding] = []
    with open_yard() as yard, tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        make_base(yard.store)
        docker.import_base(Path(directory))
        for case in load_cases() + [Case(directory=path) for path in sorted(FAULTY.glob("error-*"))]:
            if word not in case.name:
                continue
            with tempfile.TemporaryDirectory(dir="/var/tmp") as ours, tempfile.TemporaryDirectory(dir="/var/tmp") as theirs:
                answer = case.expected if case.directory.parent == FAULTY else build_ours(case, yard, Path(ours))
                is_fatal = case.difference.startswith("Docker's engine dies")
                findings.append(compare(case, answer, Answer() if is_fatal else docker.build(case, Path(theirs))))
                print(findings[-1].describe(), flush=True)
    return findings


def compare(case: Case, ours: Answer, theirs: Answer) -> Finding:
    """Compare two answers, of errors only that there is one and at which line."""
    if ours.error and theirs.error:
        lines = [next(iter(_LINE.findall(text)), "") for text in (ours.error, theirs.error)]
        found = [f"line {lines[0]} here, {lines[1]} there"] if all(lines) and lines[0] != lines[1] else []
    elif ours.error:
        found = [f"only we refuse: {ours.error.splitlines()[0]}"]
    elif theirs.error:
        found = [f"only Docker refuses: {next(iter(_REASON.findall(theirs.error)), theirs.error[-200:])}"]
    else:
        found = [line for line in difflib.ndiff(_lines(ours), _lines(theirs)) if line.startswith(("-", "+"))]
    return Finding(
        name=case.name, is_build=case.directory.parent != FAULTY, is_refused=bool(ours.error), differences=tuple(found),
        explanation=case.difference,
    )  # fmt: skip


def _lines(answer: Answer) -> list[str]:
    """Return the files and each key of the configuration as lines."""
    return answer.files.splitlines() + [f"{key}: {json.dumps(value)}" for key, value in json.loads(answer.config).items()]


if __name__ == "__main__":
    sys.exit(main())
