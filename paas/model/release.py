"""Build, Release, Deployment: the ledger of an app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from paas.errors import InvalidInput
from paas.model.appjson import NO_APP_JSON, AppJson
from paas.model.process import ProcessType

#: Topics of properties that a release takes along.
FROZEN_TOPICS = ("resource", "docker-options")
#: More releases than any app will have, and a number that the database takes.
_MAX_DIGITS = 9


class BuildKind(StrEnum):
    """Whether a deploy made an image or took one that was there (config, rollback, limits)."""

    BUILD = "build"
    DEPLOY = "deploy"


class BuildStatus(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "canceled"
    SUPERSEDED = "superseded"  # a newer push took its place while it waited
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a builder hands back: an image in the store and what it says about processes and ports.

    `ports` are the exposed container ports, tcp first as written; empty means the platform's default (5000).
    """

    image: str
    processes: tuple[ProcessType, ...] = ()
    ports: tuple[int, ...] = ()
    builder: str = ""
    app_json: AppJson = NO_APP_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One deploy in the ledger, from its first line to its last. `number` counts per app from 1, `id` is unique on the machine.

    `release` is the version that it made, 0 if it did not come to that; `canceled_by` who asked for its end; `pid` the process
    that works on it, 0 when none does.
    `added_config` is what app.json adds to the app's config. It is not in the ledger: it is stored when a release goes live.
    """

    id: int
    app: str
    number: int
    kind: BuildKind
    status: BuildStatus
    actor: str
    cause: str
    revision: str
    started_at: float
    finished_at: float = 0.0
    release: int = 0
    canceled_by: str = ""
    pid: int = 0
    image: str = ""
    builder: str = ""
    processes: tuple[ProcessType, ...] = ()
    ports: tuple[int, ...] = ()
    app_json: AppJson = NO_APP_JSON
    added_config: Mapping[str, str] = field(default_factory=dict, repr=False)


class ReleaseStatus(StrEnum):
    PENDING = "pending"
    CURRENT = "current"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"

    @property
    def has_served(self) -> bool:
        """Say whether visitors got answers from a release in this state."""
        return self in (ReleaseStatus.CURRENT, ReleaseStatus.SUPERSEDED, ReleaseStatus.ROLLED_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Build + config + formation, numbered per app from 1, append-only. `config` is a snapshot of the app's config vars.

    `properties` are those of the app that shape its containers (see FROZEN_TOPICS), as `topic.key`: a rollback brings them back.
    `diff` names the config vars that changed against the release that was current when this one was made. `live_at` and
    `ended_at` are 0 until it serves, and until it failed or serves no more.
    """

    app: str
    version: int
    build_id: int
    image: str
    processes: tuple[ProcessType, ...]
    ports: tuple[int, ...]
    config: Mapping[str, str] = field(repr=False)
    formation: Mapping[str, int]
    status: ReleaseStatus
    actor: str
    cause: str
    created_at: float
    live_at: float = 0.0
    ended_at: float = 0.0
    diff: tuple[str, ...] = ()
    revision: str = ""
    app_json: AppJson = NO_APP_JSON
    properties: Mapping[str, str] = field(default_factory=dict)

    def process(self, name: str) -> ProcessType | None:
        """Return the process type of that name, or None."""
        return next((p for p in self.processes if p.name == name), None)

    @property
    def has_web(self) -> bool:
        return self.process("web") is not None


def frozen_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """Return those of an app's properties (as `topic.key`) that a release takes along."""
    return {key: value for key, value in properties.items() if key.partition(".")[0] in FROZEN_TOPICS}


def config_diff(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return `+KEY`, `-KEY` and `~KEY` for what was added, removed, changed; values are never shown."""
    added = [f"+{k}" for k in new if k not in old]
    removed = [f"-{k}" for k in old if k not in new]
    changed = [f"~{k}" for k in new if k in old and old[k] != new[k]]
    return tuple(sorted(added + removed + changed, key=lambda s: s[1:]))


def parse_version(text: str) -> int | None:
    """Return the version that `vN` or `N` names, None for ''. Raises InvalidInput."""
    number = text.removeprefix("v")
    if not number:
        return None
    if not number.isdecimal() or len(number) > _MAX_DIGITS:
        raise InvalidInput(f"'{text}' is no release", remedy="write e.g. v3; see: paas releases:list <app>")
    return int(number)
