"""Contract of a builder: turns a source tree into an image. Implementations: dockerfile, buildpack.

MUST: `detect` reads only. `build` raises BuildFailed or InvalidFile and nothing else for what is the app's fault; leaves no
container, mount or image behind when it raises; streams the tools' output line by line to `output.detail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from paas.engines import Engine
from paas.model.container import Limits, Tenant
from paas.model.release import BuildResult
from paas.model.source import Source
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build. `env` are the app's config vars; `cache` is the app's own directory, kept between builds.

    `buildpacks` are those that app.json asks for, by name or URL; none leaves the choice to the builder.
    """

    app: str
    tenant: Tenant
    source: Source
    cache: Path
    output: Output
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    buildpacks: tuple[str, ...] = ()
    limits: Limits = Limits()
    timeout_s: float = 3600


class Builder(Protocol):
    """Made once per process with the parts it works on: `Builder(engine=..., paths=..., settings=...)`."""

    name: str

    def __init__(self, *, engine: Engine, paths: Paths, settings: Settings) -> None: ...

    def detect(self, tree: Path) -> bool:
        """Say whether this builder can build the tree. Reads only."""

    def validate(self, tree: Path) -> None:
        """Check the tree's files before anything is built. Raises InvalidFile."""

    def build(self, request: BuildRequest) -> BuildResult:
        """Build the image. Raises BuildFailed, InvalidFile, Cancelled."""
