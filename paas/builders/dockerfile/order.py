"""What one Dockerfile build is given: tree, options, limits. And how the app's properties say it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paas.builders import BuildRequest
from paas.errors import InvalidFile, InvalidInput
from paas.model.container import PLATFORM, Limits, Tenant
from paas.model.env import parse_assignments
from paas.output import Output

DOCKERFILE = "Dockerfile"
#: App properties that this builder reads (`builder-dockerfile:set`).
PATH_PROPERTY, TARGET_PROPERTY, ARGS_PROPERTY = (
    "builder-dockerfile.dockerfile-path", "builder-dockerfile.target", "builder-dockerfile.build-args",
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


def order_from(request: BuildRequest) -> BuildOrder:
    """Return the build that an app's properties ask for. Raises InvalidFile."""
    options = request.options
    try:
        build_args = parse_assignments(shlex.split(options.get(ARGS_PROPERTY, "")))
    except (InvalidInput, ValueError) as exc:
        raise InvalidFile(ARGS_PROPERTY, 0, str(exc), remedy="write NAME=value, several apart by spaces") from exc
    return BuildOrder(
        tree=request.source.tree,
        cache=request.cache / "dockerfile",
        output=request.output,
        dockerfile=options.get(PATH_PROPERTY, "") or DOCKERFILE,
        target=options.get(TARGET_PROPERTY, ""),
        build_args=build_args,
        secrets=request.env,
        tenant=request.tenant,
        limits=request.limits,
        timeout_s=request.timeout_s,
    )
