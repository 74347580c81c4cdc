"""JSON with comments: text -> values that know where they stand, so that a complaint can name the key and the line. Pure.

`//` and `/* */` comments and commas after the last member are accepted, as Dokku's reader (hujson) does. A key given twice, NaN,
a lone surrogate or a NUL byte is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from paas.errors import InvalidFile

#: More than any file of this kind has; what is pushed is stored with each release.
MAX_LENGTH = 256 * 1024
_STRING = r'"(?:\\.|[^"\\])*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[\]}}])", re.DOTALL)
_TOKEN = re.compile(rf'{_STRING}|[\[\]{{}},:]|[^\s\[\]{{}},:"]+', re.DOTALL)
#: A day: longer than anything one waits for.
LONGEST_S = 86400.0
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file and the path that leads to it."""

    value: Any
    path: Path
    text: str
    file: str

    def fail(self, problem: str, *, remedy: str = "") -> NoReturn:
        """Raise InvalidFile that names this value and its line."""
        where = f"{written(self.path)} " if self.path else ""
        raise InvalidFile(self.file, line_of(self.text, self.path), f"{where}{problem}", remedy=remedy)

    def get(self, key: str) -> Node | None:
        """Return a member of this object; None if it is not there or null."""
        value = self._object().get(key)
        return None if value is None else self._child(key, value)

    def members(self) -> Iterator[tuple[str, Node]]:
        """Yield the members of this object, without those that are null."""
        for key, value in self._object().items():
            if value is not None:
                yield key, self._child(key, value)

    def items(self) -> Iterator[Node]:
        """Yield the items of this list."""
        if not isinstance(self.value, list):
            self.fail("must be a list: [...]")
        for index, value in enumerate(self.value):
            yield self._child(index, value)

    def string(self) -> str:
        """Return this string; '' is one."""
        if not isinstance(self.value, str):
            self.fail(f"must be a string, not {_kind(self.value)}", remedy=f'write it in quotes: "{_shown(self.value)}"')
        if "\0" in self.value or any("\ud800" <= letter <= "\udfff" for letter in self.value):
            self.fail("holds a character that no program takes (NUL or half a surrogate pair)")
        return self.value

    def boolean(self) -> bool:
        """Return this boolean."""
        if not isinstance(self.value, bool):
            self.fail(f"must be true or false, not {_kind(self.value)}")
        return self.value

    def integer(self, low: int, high: int) -> int:
        """Return this whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not low <= self.value <= high:
            self.fail(f"must be a whole number from {low} to {high}")
        return self.value

    def number(self, low: float, high: float) -> float:
        """Return this number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not low <= self.value <= high:
            self.fail(f"must be a number from {low:g} to {high:g}")
        return float(self.value)

    def required(self, key: str) -> Node:
        """Return a member that must be there."""
        found = self.get(key)
        if found is None or found.value == "":
            self.fail(f"needs a '{key}'")
        return found

    def items_of(self, key: str) -> tuple[Node, ...]:
        """Return the items of the list `key`, none if it is not there."""
        found = self.get(key)
        return tuple(found.items()) if found else ()

    def members_of(self, key: str) -> tuple[tuple[str, Node], ...]:
        """Return the members of the object `key`, none if it is not there."""
        found = self.get(key)
        return tuple(found.members()) if found else ()

    def string_of(self, key: str, default: str = "") -> str:
        """Return the string `key`, or the default."""
        found = self.get(key)
        return default if found is None else found.string()

    def strings_of(self, key: str) -> tuple[str, ...]:
        """Return the strings of the list `key`."""
        return tuple(node.string() for node in self.items_of(key))

    def boolean_of(self, key: str, default: bool = False) -> bool:
        """Return the boolean `key`, or the default."""
        found = self.get(key)
        return default if found is None else found.boolean()

    def integer_of(self, key: str, default: int, low: int, high: int) -> int:
        """Return the whole number `key`, or the default."""
        found = self.get(key)
        return default if found is None else found.integer(low, high)

    def seconds_of(self, key: str, default: float) -> float:
        """Return the number of seconds `key`, or the default."""
        found = self.get(key)
        return default if found is None else found.number(0, LONGEST_S)

    def _object(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict):
            self.fail("must be an object: {...}")
        return self.value

    def _child(self, key: str | int, value: Any) -> Node:
        return Node(value, (*self.path, key), self.text, self.file)


def parse_jsonc(text: str, *, file: str) -> Node:
    """Read the file's one value. Raises InvalidFile with the line."""
    if len(text) > MAX_LENGTH:
        raise InvalidFile(file, 0, f"is longer than {MAX_LENGTH // 1024} KiB")
    plain = without_comments(text.removeprefix("\ufeff"))
    try:
        value = json.loads(plain, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        lines = text.splitlines()
        shown = lines[exc.lineno - 1].strip() if exc.lineno <= len(lines) else ""
        raise InvalidFile(file, exc.lineno, f"is not JSON: {exc.msg}", text=shown) from exc
    except ValueError as exc:
        raise InvalidFile(file, 0, f"is not JSON: {exc}") from exc
    except RecursionError as exc:
        raise InvalidFile(file, 0, "is nested too deeply") from exc
    return Node(value, (), plain, file)


def without_comments(text: str) -> str:
    """Return the text with comments and trailing commas blanked out: every other character stays where it was."""
    return _TRAILING_COMMA.sub(_blanked, _COMMENT.sub(_blanked, text))


def line_of(plain: str, path: Path) -> int:
    """Return the line on which the value at the path begins (its key for a member), 0 if there is none."""
    for at, offset in _places(plain):
        if at == path:
            return plain.count("\n", 0, offset) + 1
    return 0


def written(path: Path) -> str:
    """Return a path as people write it: `cron[0].schedule`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _places(plain: str) -> Iterator[tuple[Path, int]]:
    """Yield each value's path and the offset of its key or, in a list, of itself. The text is known to be JSON."""
    path: list[str | int] = []
    is_key = False
    for match in _TOKEN.finditer(plain):
        token, is_object = match[0], bool(path) and isinstance(path[-1], str)
        if token in "]}":
            path.pop()
        elif token == ",":
            is_key = is_object
            if not is_object:
                path[-1] = int(path[-1]) + 1
        elif is_key:
            path[-1], is_key = json.loads(token), False
            yield tuple(path), match.start()
        elif token != ":":
            if not is_object:
                yield tuple(path), match.start()
            if token in "[{":
                path.append("" if token == "{" else 0)
                is_key = token == "{"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key '{twice}' stands in one object twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _blanked(match: re.Match[str]) -> str:
    found = match[0]
    return found if found.startswith('"') else re.sub(r"[^\r\n]", " ", found)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return kinds.get(type(value), "a string")


def _shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float) else "..."
