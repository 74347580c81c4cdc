"""Options of `docker build` that an app has for its builds, as words: `--build-arg A=1 --target web`. Pure.

They come from `docker-options:add <app> build '...'`. What a push cannot have (files of the machine, its network) is refused.
"""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from paas.errors import InvalidInput

_VALUED = ("--build-arg", "--target", "--label", "--file", "--secret", "--progress")
_PLAIN = ("--no-cache", "--pull", "--quiet")
_SHORT = {"-f": "--file", "-q": "--quiet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the words say; '' and nothing where they say nothing."""

    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    target: str = ""
    dockerfile: str = ""
    uses_cache: bool = True
    pulls: bool = False


def parse_options(text: str, env: Mapping[str, str]) -> BuildOptions:
    """Read the options; `env` are the app's config vars, for values that are left out. Raises InvalidInput."""
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise InvalidInput(f"The build options cannot be read: {exc}", remedy="check the quotes") from exc
    found: dict[str, list[str]] = {}
    for name, value in _options(words):
        found.setdefault(name, []).append(value)
    secrets = dict(_secret(word, env) for word in found.get("--secret", ()))
    return BuildOptions(
        build_args=parse_arguments(found.get("--build-arg", ()), env), labels=parse_labels(found.get("--label", ())),
        secrets=secrets, target=found.get("--target", [""])[-1], dockerfile=found.get("--file", [""])[-1],
        uses_cache="--no-cache" not in found, pulls="--pull" in found,
    )  # fmt: skip


def parse_arguments(words: Iterable[str], env: Mapping[str, str]) -> dict[str, str]:
    """Return build arguments; `KEY` alone takes the value of `env`, and is left out when that has none. Raises InvalidInput."""
    found = _pairs(words, "--build-arg")
    return {key: env[key] if value is None else value for key, value in found.items() if value is not None or key in env}


def parse_labels(words: Iterable[str]) -> dict[str, str]:
    """Return labels; the value of `KEY` alone is empty. Raises InvalidInput."""
    return {key: value or "" for key, value in _pairs(words, "--label").items()}


def _pairs(words: Iterable[str], option: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key:
            raise InvalidInput(f"{option} '{word}' has no name", remedy=f"write {option} NAME=value")
        found[key] = value if equals else None
    return found


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        name = _SHORT.get(name, name)
        if name in _PLAIN and value.lower() not in ("false", "0"):
            yield name, ""
        elif name in _VALUED:
            taken = value if equals else next(rest, None)
            if taken is None:
                raise InvalidInput(f"The build option {name} needs a value", remedy=f"e.g. {name} ...")
            yield name, taken
        elif name not in _PLAIN:
            known = ", ".join((*_VALUED, *_PLAIN))
            raise InvalidInput(f"'{word}' is no option of builds here", remedy=f"there are: {known}")


def _secret(word: str, env: Mapping[str, str]) -> tuple[str, str]:
    fields = dict(part.partition("=")[::2] for part in next(csv.reader([word]), []))
    name, variable = fields.get("id", ""), fields.get("env", "") or fields.get("id", "")
    if not name or fields.keys() - {"id", "env", "type"}:
        raise InvalidInput(f"A build takes secrets from config vars only: '{word}'", remedy="e.g. --secret id=token,env=TOKEN")
    if variable not in env:
        raise InvalidInput(f"The secret {name} is to come from the config var {variable}, which is not set",
                           remedy=f"paas config:set <app> {variable}=...")
    return name, env[variable]
