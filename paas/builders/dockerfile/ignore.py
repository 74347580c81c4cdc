""".dockerignore: which paths of the context a build does not see. Pure.

Docker's rules, not git's: patterns are rooted, the last match wins, a match covers everything below it.
Source: Dockerfile reference (".dockerignore file"); moby/patternmatcher; Go's path/filepath.Match.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """An ordered list of (regular expression, is negated)."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.patterns)

    @property
    def has_exceptions(self) -> bool:
        """Say whether something below an ignored directory may be kept."""
        return any(negated for _, negated in self.patterns)

    @property
    def ignores_all(self) -> bool:
        """Say whether one pattern stands for everything."""
        return any(pattern.pattern in _EVERYTHING for pattern, negated in self.patterns if not negated)

    def ignores(self, path: str) -> bool:
        """Say whether `path` (relative, with /) is left out; a parent's match counts for it."""
        parents = path.split("/")
        prefixes = ["/".join(parents[: count + 1]) for count in range(len(parents))]
        ignored = False
        for pattern, negated in self.patterns:
            if negated == ignored and any(pattern.fullmatch(prefix) for prefix in prefixes):
                ignored = not negated
        return ignored


def parse_ignore(lines: Iterable[str]) -> IgnoreRules:
    """Read the lines of a .dockerignore. Raises ValueError naming a pattern that is none."""
    patterns = []
    for raw in lines:
        line = raw.removeprefix("\ufeff").strip()
        if not line or raw.startswith("#"):
            continue
        negated = line.startswith("!")
        pattern = line[1:].strip() if negated else line
        cleaned = posixpath.normpath(pattern).lstrip("/") if pattern else ""
        if negated and not pattern:
            raise ValueError("illegal exclusion pattern: \"!\"")
        if cleaned in ("", "."):
            continue  # "/" and "." mean nothing here: the context itself is never left out
        patterns.append((re.compile(pattern_regex(cleaned), re.DOTALL), negated))
    return IgnoreRules(tuple(patterns))


def pattern_regex(pattern: str, *, has_double_star: bool = True) -> str:
    """Return the regular expression of a path pattern: `*`, `?`, `[a-z]`, `\\x`, and `**` for any number of directories.

    Raises ValueError for a bad pattern.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and has_double_star and pattern.startswith("*", at):
            at += 1
            if pattern.startswith("/", at):
                at += 1
                parts.append("(?:.*/)?")
            else:
                parts.append(".*")
        elif char in "*?":
            parts.append("[^/]*" if char == "*" else "[^/]")
        elif char == "[":
            text, at = _character_class(pattern, at)
            parts.append(text)
        elif char == "\\":
            if at == len(pattern):
                raise ValueError(f"syntax error in pattern: {pattern}")
            parts.append(re.escape(pattern[at]))
            at += 1
        else:
            parts.append(re.escape(char))
    return "".join(parts)


def has_wildcards(path: str) -> bool:
    """Say whether a COPY source is a pattern; behind a backslash nothing makes it one."""
    return re.search(r"(?:^|[^\\])(?:\\\\)*[*?[]", path) is not None


def _character_class(pattern: str, at: int) -> tuple[str, int]:
    """Read from behind `[` to behind `]`."""
    negation = ""
    if pattern.startswith("^", at):
        negation, at = "^", at + 1
    members: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or not members):
        low, at = _class_member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_member(pattern, at + 1)
        if high < low:
            raise ValueError(f"syntax error in pattern: {pattern}")
        members.append(re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}")
    if at >= len(pattern) or not members:
        raise ValueError(f"syntax error in pattern: {pattern}")
    return f"[{negation}{'/' if negation else ''}{''.join(members)}]", at + 1


def _class_member(pattern: str, at: int) -> tuple[str, int]:
    if at < len(pattern) and pattern[at] == "\\":
        at += 1
    if at >= len(pattern):
        raise ValueError(f"syntax error in pattern: {pattern}")
    return pattern[at], at + 1


_EVERYTHING = frozenset(map(pattern_regex, ("*", "**", "**/*")))
