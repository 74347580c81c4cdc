"""Buildpacks as they lie in a directory: buildpack.toml, order.toml. Reads files; runs nothing.

Source: buildpack spec, "buildpack.toml (TOML)"; platform spec, "order.toml (TOML)".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paas.errors import HostProblem, InvalidFile

#: Where the directory of buildpacks is seen in the build container.
TARGET = "/cnb/buildpacks"
#: What this lifecycle speaks. 0.9 made commands lists, 0.10 made the build plan's variables official.
OLDEST_API, NEWEST_API = (0, 5), (0, 11)
#: How app.json files name Heroku's buildpacks; a version behind '#' is for Heroku.
_HEROKU = re.compile(
    r"(?:https://github\.com/|git@github\.com:|https://buildpack-registry\.s3\.amazonaws\.com/buildpacks/|urn:cnb:registry:)?"
    r"(?:heroku|heroku-community)/(?:heroku-buildpack-)?(?P<name>[a-z0-9-]+)(?:\.git|\.tgz)?/?(?:#.*)?"
)
_ID = re.compile(r"[A-Za-z0-9._/-]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildpack:
    """One buildpack. `looks_for` says to users when it applies (`metadata.looks-for`, ours)."""

    id: str
    version: str
    api: tuple[int, int]
    directory: str
    clears_env: bool = False
    looks_for: str = ""

    @property
    def layers_name(self) -> str:
        """Return the name of its directory below /layers."""
        return self.id.replace("/", "_")

    @property
    def target(self) -> str:
        """Return where it is in the build container."""
        return f"{TARGET}/{self.directory}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """One line of a group of order.toml."""

    buildpack: Buildpack
    is_optional: bool = False


Group = tuple[GroupMember, ...]


def load_order(directory: Path) -> tuple[Group, ...]:
    """Read order.toml and the buildpacks it names, which lie beside it. Raises HostProblem or InvalidFile."""
    order = read_toml(directory / "order.toml")
    found = {file.parent.name: _buildpack(file) for file in sorted(directory.glob("*/buildpack.toml"))}
    by_id = {buildpack.id: buildpack for buildpack in found.values()}
    groups = tuple(_group(entry.get("group", ()), by_id, directory) for entry in order.get("order", ()))
    if not groups:
        raise InvalidFile(str(directory / "order.toml"), 0, "names no group of buildpacks")
    return groups


def chosen_order(order: Sequence[Group], names: Sequence[str]) -> tuple[Group, ...]:
    """Return the order as it is, or one group of the buildpacks that app.json names, in its order. Raises InvalidFile.

    Heroku's names and addresses mean the buildpack of the same language here.
    """
    if not names:
        return tuple(order)
    known = {buildpack.id: buildpack for buildpack in all_buildpacks(order)}
    group = []
    for name in names:
        heroku = _HEROKU.fullmatch(name)
        buildpack = known.get(heroku["name"] if heroku else name)
        if buildpack is None:
            raise InvalidFile(
                "app.json", 0, f"there is no buildpack '{name}' here",
                remedy=f"'buildpacks' can name {', '.join(known)}; without it they are tried in turn; or add a Dockerfile",
            )  # fmt: skip
        group.append(GroupMember(buildpack=buildpack))
    return (tuple({member.buildpack.id: member for member in group}.values()),)


def all_buildpacks(order: Sequence[Group]) -> tuple[Buildpack, ...]:
    """Return each buildpack of an order once, in order."""
    return tuple({member.buildpack.id: member.buildpack for group in order for member in group}.values())


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file of the installation. Raises HostProblem when it is missing, InvalidFile when it is wrong."""
    try:
        return tomllib.loads(file.read_text())
    except OSError as exc:
        raise HostProblem(f"Could not read {file}: {exc.strerror}", remedy="run vagrant/provision.sh again") from exc
    except tomllib.TOMLDecodeError as exc:
        raise InvalidFile(str(file), 0, f"is not valid TOML: {exc}") from exc


def _group(members: Sequence[Mapping[str, Any]], by_id: Mapping[str, Buildpack], directory: Path) -> Group:
    for member in members:
        if member.get("id") not in by_id:
            raise InvalidFile(str(directory / "order.toml"), 0, f"there is no buildpack '{member.get('id')}'")
    return tuple(
        GroupMember(buildpack=by_id[member["id"]], is_optional=bool(member.get("optional", False))) for member in members
    )


def _buildpack(file: Path) -> Buildpack:
    document = read_toml(file)
    described = document.get("buildpack", {})
    identifier, version = str(described.get("id", "")), str(described.get("version", ""))
    if not _ID.match(identifier) or ".." in identifier or not version:
        raise InvalidFile(str(file), 0, "needs buildpack.id and buildpack.version")
    return Buildpack(
        id=identifier,
        version=version,
        api=_api(file, str(document.get("api", ""))),
        directory=file.parent.name,
        clears_env=bool(described.get("clear-env", False)),
        looks_for=str(document.get("metadata", {}).get("looks-for", "")),
    )


def _api(file: Path, text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    api = (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
    if not OLDEST_API <= api <= NEWEST_API:
        oldest, newest = (".".join(map(str, bound)) for bound in (OLDEST_API, NEWEST_API))
        raise InvalidFile(str(file), 0, f"Buildpack API '{text}' is not spoken here; {oldest} to {newest} are")
    return api
