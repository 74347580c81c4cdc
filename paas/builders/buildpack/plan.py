"""Detection: which group of buildpacks builds the app, and what each has to provide. Pure.

Source: buildpack spec, "Phase #1: Detection"; the trial order of alternatives is the reference lifecycle's.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paas.builders.buildpack.buildpack import Buildpack, Group, GroupMember

PASS, FAIL = 0, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A dependency that a buildpack asks for; `table` is all it says about it, name included."""

    name: str
    table: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One alternative of a buildpack's plan."""

    provides: tuple[str, ...] = ()
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What bin/detect of one buildpack said: its status, and its build plan as TOML text."""

    buildpack: str
    status: int
    text: str = ""

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Return the alternatives, the preferred one first. Raises ValueError when the text is no build plan."""
        return parse_offers(self.text)

    @property
    def is_pass(self) -> bool:
        return self.status == PASS

    @property
    def is_error(self) -> bool:
        return self.status not in (PASS, FAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEntry:
    """A dependency with who can provide it, first come first served, and all that was asked of it."""

    name: str
    providers: tuple[str, ...]
    requires: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """The buildpacks that build the app, in order, and the dependencies between them."""

    buildpacks: tuple[Buildpack, ...]
    entries: tuple[PlanEntry, ...] = ()


def parse_offers(text: str) -> tuple[Offer, ...]:
    """Read the build plan of one bin/detect. Raises ValueError when it is no such thing."""
    document = tomllib.loads(text)
    alternatives = document.get("or", [])
    if not isinstance(alternatives, list):
        raise ValueError("'or' must be an array of tables")
    return tuple(_offer(table) for table in (document, *alternatives))


def resolve(order: Sequence[Group], detections: Sequence[Detection]) -> BuildPlan | None:
    """Return the plan of the first group that works out, or None. Raises ValueError for a build plan that is none."""
    passing = {detection.buildpack: detection for detection in detections if detection.is_pass}
    for group in order:
        if any(member.buildpack.id not in passing for member in group if not member.is_optional):
            continue
        passed = [member for member in group if member.buildpack.id in passing]
        choices = [passing[member.buildpack.id].offers for member in passed]
        for offers in itertools.product(*choices):
            plan = _try(list(zip(passed, offers, strict=True)))
            if plan is not None:
                return plan
    return None


def _try(trial: list[tuple[GroupMember, Offer]]) -> BuildPlan | None:
    """Match what is required with what is provided; an optional buildpack that does not fit is left out."""
    while trial:
        misfits = set(_misfits(trial))
        if not misfits:
            return BuildPlan(buildpacks=tuple(m.buildpack for m, _ in trial), entries=_entries(trial))
        if any(not trial[index][0].is_optional for index in misfits):
            return None
        trial = [pair for index, pair in enumerate(trial) if index not in misfits]
    return None


def _misfits(trial: Sequence[tuple[GroupMember, Offer]]) -> Iterator[int]:
    """Yield who requires what nobody up to it provides, or provides what nobody from it on requires."""
    for index, (_, offer) in enumerate(trial):
        provided = {name for _, earlier in trial[: index + 1] for name in earlier.provides}
        required = {item.name for _, later in trial[index:] for item in later.requires}
        if any(item.name not in provided for item in offer.requires) or any(n not in required for n in offer.provides):
            yield index


def _entries(trial: Sequence[tuple[GroupMember, Offer]]) -> tuple[PlanEntry, ...]:
    names = dict.fromkeys(name for _, offer in trial for name in offer.provides)
    return tuple(
        PlanEntry(
            name=name,
            providers=tuple(member.buildpack.id for member, offer in trial if name in offer.provides),
            requires=tuple(item.table for _, offer in trial for item in offer.requires if item.name == name),
        )
        for name in names
    )


def _offer(table: Mapping[str, Any]) -> Offer:
    provides, requires = table.get("provides", []), table.get("requires", [])
    for entry in (*provides, *requires):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ValueError("every [[provides]] and [[requires]] needs a name")
    return Offer(
        provides=tuple(entry["name"] for entry in provides),
        requires=tuple(Requirement(name=entry["name"], table=entry) for entry in requires),
    )
