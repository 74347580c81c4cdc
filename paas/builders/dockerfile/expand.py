"""`$NAME` and `${NAME<modifier>}` in the words of a Dockerfile, and the scopes the names come from. Pure.

Source: Dockerfile reference ("Environment replacement", "ARG"); BuildKit's frontend/dockerfile/shell for the corners.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: Arguments that need no ARG to be used by RUN, and that never change a cache key.
PROXY_ARGS = tuple(
    name for base in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY") for name in (base, base.lower())
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+")
_SPECIAL = frozenset("@*#?-$!")


class ExpansionError(ValueError):
    """A word that cannot be expanded; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names a stage knows, each in `env` or in `args`: the last ENV or ARG of a name wins.

    `given` are the values from outside (--build-arg), `outer` what the ARGs before the first FROM say; both take effect in
    a stage only once it declares the name. `declared` are the names that an ARG has named, with a value or without.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    outer: Mapping[str, str] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()

    def values(self) -> dict[str, str]:
        """Return what a word may refer to."""
        return {**self.args, **self.env}

    def run_env(self) -> dict[str, str]:
        """Return the environment of RUN: declared arguments, given proxies, ENV."""
        return {**self._proxies(), **self.args, **self.env}

    def declare(self, name: str, default: str | None) -> Scope:
        """Return the scope after `ARG name[=default]`."""
        declared = self.declared | {name}
        value = self.given.get(name, default if default is not None else self.outer.get(name))
        if value is None:
            return replace(self, declared=declared)  # what a parent stage or an earlier line said stays
        env = {known: text for known, text in self.env.items() if known != name}
        return replace(self, env=env, args={**self.args, name: value}, declared=declared)

    def assign(self, name: str, value: str) -> Scope:
        """Return the scope after `ENV name=value`."""
        args = {known: text for known, text in self.args.items() if known != name}
        return replace(self, env={**self.env, name: value}, args=args)

    def _proxies(self) -> dict[str, str]:
        """Return the given proxies under both spellings; in lower case counts where both are given."""
        return {
            spelling: self.given[name] for name in PROXY_ARGS if name in self.given for spelling in (name.upper(), name.lower())
        }


def expand_word(text: str, values: Mapping[str, str], *, escape: str = "\\", missing: list[str] | None = None) -> str:
    """Expand one word and remove its quotes; add names that have no value to `missing`. Raises ExpansionError."""
    return _Expander(text, values, escape, missing).whole()


def expand_heredoc(text: str, values: Mapping[str, str], *, escape: str = "\\", missing: list[str] | None = None) -> str:
    """Expand the body of a here-document: quotes are ordinary characters. Raises ExpansionError."""
    return _Expander(text, values, escape, missing, quotes=False).whole()


class _Expander:
    """Reads one word from left to right."""

    def __init__(
        self, text: str, values: Mapping[str, str], escape: str, missing: list[str] | None, *, quotes: bool = True
    ) -> None:
        self._text, self._values, self._escape, self._quotes, self._missing = text, values, escape, quotes, missing
        self._at = 0

    def whole(self) -> str:
        return self._until("")

    def _until(self, stop: str) -> str:
        """Expand up to the unquoted character `stop` ('' is the end) and step over it."""
        parts: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if stop and char == stop:
                self._at += 1
                return "".join(parts)
            self._at += 1
            parts.append(self._piece(char))
        if stop:
            raise ExpansionError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(parts)

    def _piece(self, char: str) -> str:
        if char == "$":
            return self._dollar()
        if char == self._escape:
            return self._take() or char
        if self._quotes and char == "'":
            return self._single_quoted()
        if self._quotes and char == '"':
            return self._double_quoted()
        return char

    def _take(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += len(char)
        return char

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise ExpansionError("unexpected end of statement while looking for matching single-quote")
        inner, self._at = self._text[self._at : end], end + 1
        return inner

    def _double_quoted(self, *, keeps_escapes: bool = False) -> str:
        """Read up to the closing quote; with `keeps_escapes` as part of a pattern, in which an escape must stay one."""
        parts: list[str] = []
        while (char := self._take()) != '"':
            if not char:
                raise ExpansionError("unexpected end of statement while looking for matching double-quote")
            if char == "$":
                parts.append(self._dollar())
            elif char == self._escape:
                following = self._take()
                # Inside double quotes only these lose the escape, as in a shell.
                is_escaped = following in ('"', "$", self._escape)
                kept = char * (1 if is_escaped else 2) if keeps_escapes else "" if is_escaped else char
                parts.append(kept + following)
            else:
                parts.append(char)
        return "".join(parts)

    def _dollar(self) -> str:
        if self._text.startswith("{", self._at):
            self._at += 1
            return self._braced()
        name = self._name()
        return self._value(name) or "" if name else "$"

    def _value(self, name: str, *, may_be_missing: bool = False) -> str | None:
        value = self._values.get(name)
        if value is None and self._missing is not None and not may_be_missing and name not in self._missing:
            self._missing.append(name)
        return value

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match:
            self._at = match.end()
            return match[0]
        return self._take() if self._text[self._at : self._at + 1] in _SPECIAL else ""

    def _braced(self) -> str:
        name = self._name()
        if not name:
            raise ExpansionError("bad substitution: ${} needs a name")
        operator = self._take()
        value = self._value(name, may_be_missing=operator in (":", "-", "+", "?"))
        if operator == "}":
            return value or ""
        if operator == ":":
            operator, value = self._take(), value or None
        elif operator in ("#", "%"):
            return self._trimmed(value, operator)
        elif operator == "/":
            return self._replaced(value)
        if operator not in ("-", "+", "?"):
            raise ExpansionError(f"unsupported modifier ({operator or 'end of word'}) in substitution" if operator
                                 else "syntax error: missing '}'")
        word = self._until("}")
        if operator == "-":
            return word if value is None else value
        if operator == "+":
            return "" if value is None else word
        if value is None:
            raise ExpansionError(f"{name}: {word or 'parameter not set'}")
        return value

    def _trimmed(self, value: str | None, operator: str) -> str:
        is_greedy = self._text.startswith(operator, self._at)
        self._at += is_greedy
        pattern = _pattern_regex(self._pattern("}"), is_greedy=is_greedy)
        text = value or ""
        if operator == "#":
            match = re.match(pattern, text)
            return text[match.end() :] if match else text
        ends = range(len(text) + 1) if is_greedy else range(len(text), -1, -1)
        start = next((i for i in ends if re.fullmatch(pattern, text[i:])), None)
        return text if start is None else text[:start]

    def _replaced(self, value: str | None) -> str:
        is_global = self._text.startswith("/", self._at)
        self._at += is_global
        pattern = _pattern_regex(self._pattern("/"), is_greedy=True)
        replacement = self._pattern("}", doubles=False)
        return _substitute(pattern, replacement, value or "", count=0 if is_global else 1)

    def _pattern(self, stop: str, *, doubles: bool = True) -> str:
        """Read a shell pattern up to `stop`: escapes stay, quotes go; with `doubles` an escape between single ones is doubled."""
        parts: list[str] = []
        while (char := self._take()) != stop:
            if not char:
                raise ExpansionError("syntax error: missing '}'" if stop == "}" else "syntax error: missing '/' in ${}")
            if char == "$":
                parts.append(self._dollar())
            elif char == self._escape:
                parts.append(char + self._take())
            elif self._quotes and char == "'":
                quoted = self._single_quoted()
                parts.append(quoted.replace(self._escape, self._escape * 2) if doubles else quoted)
            elif self._quotes and char == '"':
                parts.append(self._double_quoted(keeps_escapes=True))
            else:
                parts.append(char)
        return "".join(parts)


def _substitute(pattern: str, replacement: str, text: str, *, count: int) -> str:
    """Replace what matches; nothing right behind a match is no match, as in Go."""
    end = -1

    def replaced(match: re.Match[str]) -> str:
        nonlocal end
        is_abutting = match.start() == match.end() == end
        end = match.end()
        return "" if is_abutting else replacement

    return re.sub(pattern, replaced, text, count=count)


def _pattern_regex(pattern: str, *, is_greedy: bool) -> str:
    """Return a shell pattern as a regular expression: `*` and `?` count unless escaped. Raises ExpansionError."""
    parts: list[str] = []
    rest = iter(pattern)
    for char in rest:
        if char == "\\":
            char = next(rest, "")
            if char not in ("}", "/", "*", "?", "\\"):
                raise ExpansionError(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{char}'")
            parts.append(re.escape(char))
        elif char == "*":
            parts.append(".*" if is_greedy else ".*?")
        else:
            parts.append("." if char == "?" else re.escape(char))
    return "".join(parts)
