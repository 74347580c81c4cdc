"""docs/conformance.md: what conformance_docker.py found, as a page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_INTRO = """# Conformance

What a Dockerfile means here, and that it means the same to Docker. The cases are directories of `tests/data`:

- `dockerfiles/`: a Dockerfile and how it is read, or the message that refuses it;
- `builds/`: a Dockerfile, a context, and what a real build of them gives: each file with kind, permissions, owner, content,
  link target, hard links, device numbers, times and extended attributes, and the image's configuration; or the message that
  refuses it.

The suite (`tests/run.sh`) builds all of them and needs no Docker. This page is written by another program, which builds them
a second time with `docker build` and compares line by line; of a refusal it compares that there is one, and its line:

    python tests/conformance_docker.py --docker unix:///path/of/docker.sock --write docs/conformance.md

Any Docker engine of your own will do (`dockerd --data-root ... --exec-root ... --host unix://...`); Debian 13's `docker.io` and
`docker-buildx` were used here, as Debian 12's Docker is older than here-documents and `--link`.

It fails when an answer differs and the case does not say why (in its file `docker`), or when it says why and nothing differs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One case on both sides. `differences` are lines of a diff, ours with `-`, Docker's with `+`."""

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


def render_page(findings: Sequence[Finding], version: str, read: int) -> str:
    """Return the whole page; `read` is how many more cases are only read, which Docker has no command for."""
    return "\n".join([_INTRO, *_record(findings, version, read), "", *_differing(findings), "", *_same(findings)]) + "\n"


def _record(findings: Sequence[Finding], version: str, read: int) -> Iterator[str]:
    builds = [finding for finding in findings if finding.is_build]
    refused = sum(finding.is_refused for finding in findings)
    yield f"## Recorded with Docker {version}, BuildKit"
    yield ""
    yield "| cases | |"
    yield "|---|---|"
    yield f"| in all | {len(findings) + read} |"
    yield f"| of them built for real | {len(builds)} |"
    yield f"| compared with Docker | {len(findings)}, {refused} of them refused here |"
    yield f"| the same | {sum(finding.is_same for finding in findings)} |"
    yield f"| different, explained below | {sum(not finding.is_same for finding in findings)} |"
    yield f"| only read, not compared | {read} |"


def _differing(findings: Sequence[Finding]) -> Iterator[str]:
    yield "## What differs, and why"
    yield ""
    yield "| case | |"
    yield "|---|---|"
    for finding in findings:
        if not finding.is_same:
            yield f"| `{finding.name}` | {finding.explanation or 'NOT EXPLAINED'} |"


def _same(findings: Sequence[Finding]) -> Iterator[str]:
    yield "## What is the same"
    yield ""
    alike = sorted((f for f in findings if f.is_same), key=lambda finding: finding.topic)
    for topic, group in itertools.groupby(alike, key=lambda finding: finding.topic):
        names = [finding.name.removeprefix(f"{topic}-").replace("-", " ") for finding in group]
        yield f"- **{topic}** ({len(names)}): {', '.join(names)}"
