"""What one Dockerfile build is given: tree, options, limits. And how the app's properties say it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paas.builders import BuildRequest
from paas.builders.dockerfile.options import BuildOptions, parse_labels, parse_options
from paas.errors import InvalidFile, InvalidInput
from paas.model.container import PLATFORM, Limits, Tenant
from paas.model.env import parse_assignments
from paas.output import Output

DOCKERFILE = "Dockerfile"
_EPOCH_DIGITS = 11
#: App properties that this builder reads (`builder-dockerfile:set`, `docker-options:add <app> build`).
PATH_PROPERTY, TARGET_PROPERTY, ARGS_PROPERTY, LABELS_PROPERTY, OPTIONS_PROPERTY = (
    "builder-dockerfile.dockerfile-path", "builder-dockerfile.target", "builder-dockerfile.build-args",
    "builder-dockerfile.labels", "docker-options.build",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """One build of one Dockerfile. `secrets` is what RUN --mount=type=secret may ask for; nothing else gets to see it.

    `text` is the Dockerfile itself when it is no file of the tree; `dockerfile` is then only what it is called.
    `agents` are sockets of SSH agents by the id of RUN --mount=type=ssh. `labels` are added to the image's own.
    """

    tree: Path
    cache: Path
    output: Output
    dockerfile: str = DOCKERFILE
    text: str | None = None
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    agents: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tenant: Tenant = PLATFORM
    limits: Limits = Limits()
    timeout_s: float = 0
    reference: str = ""
    uses_cache: bool = True
    pulls: bool = False
    allows_host_network: bool = False

    @property
    def epoch(self) -> int | None:
        """Return SOURCE_DATE_EPOCH, after which nothing in the image is dated. Raises InvalidInput."""
        text = self.build_args.get("SOURCE_DATE_EPOCH", "")
        if not text:
            return None
        if not text.isdecimal() or len(text) > _EPOCH_DIGITS:
            raise InvalidInput(f"SOURCE_DATE_EPOCH is no number of seconds: {text}", remedy="e.g. SOURCE_DATE_EPOCH=$(date +%s)")
        return int(text)


def order_from(request: BuildRequest) -> BuildOrder:
    """Return the build that an app's properties ask for; docker-options win. Raises InvalidFile."""
    properties = request.options
    options = _options(properties, request.env)
    return BuildOrder(
        tree=request.source.tree,
        cache=request.cache / "dockerfile",
        output=request.output,
        dockerfile=options.dockerfile or properties.get(PATH_PROPERTY, "") or DOCKERFILE,
        target=options.target or properties.get(TARGET_PROPERTY, ""),
        build_args={**_assignments(properties, ARGS_PROPERTY), **options.build_args},
        labels={**_labels(properties), **options.labels},
        secrets={**request.env, **options.secrets},
        tenant=request.tenant,
        limits=request.limits,
        timeout_s=request.timeout_s,
        uses_cache=options.uses_cache,
        pulls=options.pulls,
    )


def _options(properties: Mapping[str, str], env: Mapping[str, str]) -> BuildOptions:
    try:
        return parse_options(properties.get(OPTIONS_PROPERTY, ""), env)
    except InvalidInput as exc:
        raise InvalidFile("docker-options build", 0, exc.message, remedy=exc.remedy) from exc


def _labels(properties: Mapping[str, str]) -> dict[str, str]:
    try:
        return parse_labels(shlex.split(properties.get(LABELS_PROPERTY, "")))
    except (InvalidInput, ValueError) as exc:
        raise InvalidFile(LABELS_PROPERTY, 0, str(exc), remedy="write NAME=value, several apart by spaces") from exc


def _assignments(properties: Mapping[str, str], name: str) -> dict[str, str]:
    try:
        return parse_assignments(shlex.split(properties.get(name, "")))
    except (InvalidInput, ValueError) as exc:
        raise InvalidFile(name, 0, str(exc), remedy="write NAME=value, several apart by spaces") from exc
