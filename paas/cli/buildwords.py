"""What `image:build` is told in words: arguments, secrets, agents, outputs. Nothing is built here."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from paas.cli.client import CALLER_PREFIX
from paas.errors import InvalidInput, NotFound

#: Standard input as context or Dockerfile, standard output as destination.
STREAM = "-"
#: As BuildKit: a secret is a token or a key, not a disk image.
MAX_SECRET_BYTES = 500 * 1024


class ExportKind(StrEnum):
    """What `--output type=` may be."""

    LOCAL = "local"
    TAR = "tar"
    OCI = "oci"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One `--output`: what to write where; `-` is standard output."""

    kind: ExportKind
    destination: str


def caller_environment(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the caller's variables: what the client sent, or without a server our own."""
    if CALLER_PREFIX not in environ:
        return environ
    return {name.removeprefix(CALLER_PREFIX): value for name, value in environ.items() if name.startswith(CALLER_PREFIX)}


def parse_secrets(words: Sequence[str], caller: Mapping[str, str]) -> dict[str, str]:
    """Return secrets by id, from a file (`src=`) or a variable (`env=`, or one called like the id). Raises InvalidInput."""
    found: dict[str, str] = {}
    for word in words:
        fields = _fields(word, {"id", "src", "source", "env", "type"}, "--secret")
        name = fields.get("id", "")
        if not name:
            raise InvalidInput(f"The secret '{word}' has no id", remedy="e.g. --secret id=token,src=token.txt")
        source = fields.get("src", fields.get("source", ""))
        variable = fields.get("env", source if fields.get("type") == "env" else "")
        if not variable and not source and name in caller:
            variable = name
        if variable:
            if variable not in caller:
                raise NotFound(f"The secret {name} is to come from the variable {variable}, which is not set")
            found[name] = caller[variable]
        else:
            found[name] = _read_secret(name, Path(source or name))
    return found


def parse_agents(words: Sequence[str], caller: Mapping[str, str]) -> dict[str, tuple[Path, ...]]:
    """Return the socket of an SSH agent or the files of keys by id; `default` and `ID` are the caller's own agent.

    Raises InvalidInput, NotFound.
    """
    from paas.builders.dockerfile.agent import is_agent

    found: dict[str, tuple[Path, ...]] = {}
    for word in words:
        name, _, written = word.partition("=")
        written = written or caller.get("SSH_AUTH_SOCK", "")
        if not written:
            raise NotFound(
                f"There is no SSH agent for --ssh {word}: SSH_AUTH_SOCK is not set",
                remedy=f"run: eval $(ssh-agent); ssh-add, or name a key: --ssh {name}=FILE",
            )
        paths = tuple(Path(path).expanduser() for path in written.split(","))
        if not all(path.is_file() for path in paths) and (len(paths) > 1 or not is_agent(paths[0])):
            raise NotFound(
                f"No SSH agent listens at {written}, and it is no key",
                remedy=f"name its socket or keys: --ssh {name}=PATH[,PATH]",
            )
        found[name or "default"] = paths
    return found


def parse_export(word: str) -> Export:
    """Parse `type=tar,dest=FILE`; a path alone is a directory, `-` a tar on standard output. Raises InvalidInput."""
    if "=" not in word:
        return Export(kind=ExportKind.TAR if word == STREAM else ExportKind.LOCAL, destination=word)
    fields = _fields(word, {"type", "dest"}, "--output")
    try:
        kind = ExportKind(fields.get("type", ""))
    except ValueError:
        kinds = ", ".join(ExportKind)
        raise InvalidInput(f"'{word}' names no type of output", remedy=f"there are: {kinds}") from None
    destination = fields.get("dest", "")
    if not destination and kind is ExportKind.LOCAL:
        raise InvalidInput("--output type=local needs a directory", remedy="e.g. --output type=local,dest=out")
    return Export(kind=kind, destination=destination or STREAM)


def check_destination(export: Export) -> None:
    """Refuse a place that cannot be written to, as long as nothing has been built for it. Raises InvalidInput, NotFound."""
    place, path = export.destination, Path(export.destination)
    if place == STREAM:
        if sys.stdout.isatty():
            raise InvalidInput("An archive is not written to a terminal", remedy="give a file: --output type=tar,dest=FILE")
    elif export.kind is ExportKind.LOCAL:
        if path.exists() and not path.is_dir():
            raise InvalidInput(f"--output: {place} is a file, and type=local needs a directory", remedy="name another one")
    elif path.is_dir():
        raise InvalidInput(f"--output: {place} is a directory, and type={export.kind} needs a file",
                           remedy=f"name a file in it: dest={place.rstrip('/')}/image.tar")
    elif not path.parent.is_dir():
        raise NotFound(f"--output: there is no directory {path.parent}", remedy=f"run: mkdir -p {path.parent}")


def _fields(word: str, known: set[str], option: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for field in next(csv.reader([word]), []):
        key, equals, value = field.partition("=")
        if not equals or key not in known:
            raise InvalidInput(f"'{field}' is nothing that {option} takes", remedy=f"it takes: {', '.join(sorted(known))}")
        fields[key] = value
    return fields


def _read_secret(name: str, file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_SECRET_BYTES + 1)
    except OSError as exc:
        raise NotFound(
            f"The secret {name} cannot be read: {exc.strerror}: {file}", remedy="e.g. --secret id=token,src=token.txt"
        ) from exc
    if len(content) > MAX_SECRET_BYTES:
        raise InvalidInput(f"The secret {name} is larger than {MAX_SECRET_BYTES // 1024} KiB")
    return content.decode("utf-8", "surrogateescape")
