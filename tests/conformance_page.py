"""docs/conformance.md: what conformance_docker.py found, as a page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_INTRO = """# Conformance

What a Dockerfile means here, and that it means the same to Docker and to BuildKit. The cases are directories of `tests/data`:

- `dockerfiles/`: a Dockerfile and how it is read, or the message that refuses it;
- `builds/`: a Dockerfile, a context, and what a real build of them gives: each file with kind, permissions, owner, content,
  link target, hard links, device numbers, times and extended attributes, and the image's configuration; or the message that
  refuses it.

The suite (`tests/run.sh`) builds all of them and needs neither. This page is written by another program, which builds them
again with `buildctl build` and `docker build` and compares line by line; of a refusal it compares that there is one, and its
line:

    python tests/conformance_docker.py --buildkit unix:///path/of/buildkitd.sock --docker unix:///path/of/docker.sock
        --write docs/conformance.md

Any engines of your own will do. A present BuildKit is `go install github.com/moby/buildkit/cmd/buildkitd` away; it is what
decides. Debian 13's `docker.io` and `docker-buildx` stand for what is installed out there, with a BuildKit of early 2024.

It fails when an answer differs and the case does not say why (in its file `docker`, `docker-engine` or `buildkit`), or when it
says why and nothing differs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One case on both sides. `differences` are lines of a diff, ours with `-`, the engine's with `+`."""

    name: str
    is_build: bool
    is_refused: bool
    differences: tuple[str, ...]
    explanation: str

    @property
    def is_same(self) -> bool:
        return not self.differences

    @property
    def is_settled(self) -> bool:
        """Say whether it is the same, or differs and the case says why."""
        return self.is_same != bool(self.explanation)

    @property
    def topic(self) -> str:
        """Return the first word of the name."""
        return self.name.partition("-")[0]

    def describe(self) -> str:
        """Return what was found, for a terminal."""
        state = "same" if self.is_same else "explained" if self.explanation else "DIFFERS"
        if self.is_same and self.explanation:
            state = "SAME, but the case explains a difference"
        return "\n    ".join([f"{self.name}: {state}", *self.differences])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All findings with one engine."""

    engine: str
    version: str
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> int:
        return sum(not finding.is_settled for finding in self.findings)

    @property
    def alike(self) -> int:
        return sum(finding.is_same for finding in self.findings)

    def describe(self) -> str:
        """Return the result in a line."""
        return f"{len(self.findings)} cases with {self.engine} {self.version}: {self.alike} the same, {self.wrong} unexplained"


def render_page(compared: Sequence[Comparison], read: int) -> str:
    """Return the whole page; `read` is how many more cases are only read, which no engine has a command for."""
    parts = [_INTRO, *_record(compared, read), ""]
    for comparison in compared:
        parts += [*_differing(comparison), ""]
    return "\n".join([*parts, *_same(compared)]) + "\n"


def _record(compared: Sequence[Comparison], read: int) -> Iterator[str]:
    findings = compared[0].findings
    refused = sum(finding.is_refused for finding in findings)
    yield "## Recorded"
    yield ""
    yield "| cases | " + " | ".join(f"{c.engine} {c.version}" for c in compared) + " |"
    yield "|---|" + "---|" * len(compared)
    yield "| compared | " + " | ".join(str(len(c.findings)) for c in compared) + " |"
    yield "| the same | " + " | ".join(str(c.alike) for c in compared) + " |"
    yield "| different, explained below | " + " | ".join(str(len(c.findings) - c.alike) for c in compared) + " |"
    yield ""
    yield (f"{sum(f.is_build for f in findings)} of them are built for real, {refused} are refused here. {read} more are only "
           "read, which no engine has a command for.")


def _differing(comparison: Comparison) -> Iterator[str]:
    yield f"## What differs from {comparison.engine} {comparison.version}, and why"
    yield ""
    yield "| case | |"
    yield "|---|---|"
    for finding in comparison.findings:
        if not finding.is_same:
            yield f"| `{finding.name}` | {finding.explanation or 'NOT EXPLAINED'} |"


def _same(compared: Sequence[Comparison]) -> Iterator[str]:
    yield f"## What is the same with {' and '.join(c.engine for c in compared)}"
    yield ""
    other = {finding.name for comparison in compared for finding in comparison.findings if not finding.is_same}
    alike = sorted((f for f in compared[0].findings if f.name not in other), key=lambda finding: finding.topic)
    for topic, group in itertools.groupby(alike, key=lambda finding: finding.topic):
        names = [finding.name.removeprefix(f"{topic}-").replace("-", " ") for finding in group]
        yield f"- **{topic}** ({len(names)}): {', '.join(names)}"
