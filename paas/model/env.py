"""Config vars: names and values; envfile.py is how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

from paas.errors import InvalidInput

KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
#: What the platform tells each process itself, whatever is set.
RESERVED = frozenset({"PORT", "DYNO", "PAAS_APP", "PAAS_PROCESS", "PAAS_PROCESS_TYPE", "PAAS_RELEASE"})


class Secret(str):
    """A value that never shows itself in a repr, a trace or a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def parse_assignments(arguments: Iterable[str]) -> dict[str, str]:
    """Parse `KEY=value` arguments; the value is taken byte for byte. Raises InvalidInput."""
    found: dict[str, str] = {}
    for number, argument in enumerate(arguments, start=1):
        key, equals, value = argument.partition("=")
        if not equals:  # not shown: it may be the rest of a secret with a space in it
            raise InvalidInput(f"Number {number} is no KEY=value", remedy="put a value with spaces in quotes: KEY='a value'")
        found[parse_key(key)] = value
        if "\0" in value:
            raise InvalidInput(f"the value of {key} holds a NUL byte, which no environment can")
    return found


def parse_key(key: str) -> str:
    """Return the key or raise InvalidInput."""
    if not KEY.match(key):
        name, equals, _ = key.partition("=")
        shown = f"{name}=..." if equals else key  # what is behind it would be a value
        raise InvalidInput(f"'{shown}' is not a valid variable name", remedy="use letters, digits and '_', no digit in front")
    return key
