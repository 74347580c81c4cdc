"""Matcher and expansion against slow references: a matcher that walks segments, and bash itself."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from paas.builders.dockerfile.expand import expand_word
from paas.builders.dockerfile.ignore import parse_ignore

SEGMENT = st.text(alphabet="ab.*?", min_size=1, max_size=3).filter(lambda s: "**" not in s and s not in (".", ".."))
PATTERN = st.lists(st.one_of(SEGMENT, st.just("**")), min_size=1, max_size=4).map("/".join)
PATH = st.lists(st.text(alphabet="ab.", min_size=1, max_size=3).filter(lambda s: s not in (".", "..")), min_size=1, max_size=4)


def ignores(rules: Sequence[tuple[str, bool]], path: Sequence[str]) -> bool:
    """Say what Docker's rules say: the last one that matches the path or a directory above it counts."""
    ignored = False
    for pattern, is_exception in rules:
        if any(matches(pattern.split("/"), path[:count]) for count in range(1, len(path) + 1)):
            ignored = not is_exception
    return ignored


def matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)  # something must follow the slash before it
        return any(matches(pattern[1:], path[skipped:]) for skipped in range(len(path) + 1))
    return bool(path) and segment_matches(pattern[0], path[0]) and matches(pattern[1:], path[1:])


def segment_matches(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(segment_matches(pattern[1:], name[skipped:]) for skipped in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and segment_matches(pattern[1:], name[1:])


@settings(max_examples=300)
@given(st.lists(st.tuples(PATTERN, st.booleans()), min_size=1, max_size=4), PATH)
def test_ignore_rules_say_what_a_slow_matcher_says(rules: list[tuple[str, bool]], path: list[str]) -> None:
    lines = [f"!{pattern}" if is_exception else pattern for pattern, is_exception in rules]
    assert parse_ignore(lines).ignores("/".join(path)) == ignores(rules, path)


VALUE = st.text(alphabet="ab/.-", max_size=8)
LITERAL = st.text(alphabet="ab/.- ", max_size=4)
GLOB = st.text(alphabet="ab.*?", min_size=1, max_size=4)
#: What may stand for the value in `${x/pattern/...}`: a star first would match nothing, which shells disagree about.
FIXED = GLOB.filter(lambda glob: glob[0] not in "*")
NAME = st.sampled_from(["set", "empty", "unset"])
PIECE = st.one_of(
    LITERAL,
    NAME.map(lambda name: f"${name}"),
    NAME.map(lambda name: f"${{{name}}}"),
    st.tuples(NAME, st.sampled_from([":-", "-", ":+", "+"]), LITERAL).map(lambda t: f"${{{t[0]}{t[1]}{t[2]}}}"),
    st.tuples(NAME, st.sampled_from(["#", "##", "%", "%%"]), GLOB).map(lambda t: f"${{{t[0]}{t[1]}{t[2]}}}"),
    st.tuples(NAME, st.sampled_from(["/", "//"]), FIXED, LITERAL.map(lambda text: text.replace("/", ""))).map(
        lambda t: f"${{{t[0]}{t[1]}{t[2]}/{t[3]}}}"
    ),
)  # fmt: skip


def separated(pieces: list[str]) -> str:
    """Join so that a name ends where it was meant to."""
    return "|".join(pieces)


@settings(max_examples=60)
@given(VALUE.filter(bool), st.lists(st.lists(PIECE, max_size=3).map(separated), min_size=10, max_size=20))
def test_expansion_is_what_bash_makes_of_it(value: str, words: list[str]) -> None:
    script = "unset unset; " + "; ".join(f"printf '%s\\0' \"{word}\"" for word in words)
    done = subprocess.run(["bash", "-c", script], env={"set": value, "empty": ""}, capture_output=True, text=True, check=True)
    found = [expand_word(f'"{word}"', {"set": value, "empty": ""}) for word in words]
    assert found == done.stdout.split("\0")[:-1]
