""".dockerignore: Docker's matching rules."""

from __future__ import annotations

import fnmatch
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.builders.dockerfile.ignore import parse_ignore, pattern_regex

SEGMENT = st.text(alphabet="abc.-", min_size=1, max_size=4).filter(lambda s: s not in (".", ".."))
PATH = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("lines", "ignored", "kept"),
    [
        (["*.md"], ["README.md"], ["docs/README.md", "README.mdx"]),
        (["**/*.md"], ["README.md", "docs/a/README.md"], ["README"]),
        (["docs"], ["docs", "docs/a", "docs/a/b"], ["docs2", "a/docs"]),
        (["/docs/"], ["docs/a"], ["a/docs"]),
        (["*/temp*"], ["a/temp", "a/temporary.txt", "a/temp/x"], ["temp", "a/b/temp"]),
        (["temp?"], ["tempa"], ["temp", "tempab"]),
        (["[a-c]x", "[^a-z]y"], ["ax", "cx", "1y"], ["dx", "ay"]),
        (["*.md", "!README.md"], ["a.md"], ["README.md"]),
        (["*.md", "!README*.md", "README-secret.md"], ["a.md", "README-secret.md"], ["README.md"]),
        (["*", "!src"], ["a", "b/c"], ["src", "src/x"]),
        (["node_modules", "!node_modules/keep"], ["node_modules/x"], ["node_modules/keep", "node_modules/keep/y"]),
        (["# comment", "", "  a  ", "./b"], ["a", "b"], ["# comment"]),
        (["**"], ["a", "a/b"], []),
        (["a/**/z"], ["a/z", "a/b/z", "a/b/c/z"], ["a/bz", "z"]),
        (["a**"], ["a", "ab", "a/b"], ["b"]),
        ([r"\*x"], ["*x"], ["ax"]),
        (["."], [], ["a"]),
        (["../x"], [], ["x"]),
    ],
)  # fmt: skip
def test_rules_follow_docker(lines: list[str], ignored: list[str], kept: list[str]) -> None:
    rules = parse_ignore(lines)
    assert [path for path in ignored if not rules.ignores(path)] == []
    assert [path for path in kept if rules.ignores(path)] == []


@given(PATH, SEGMENT)
def test_a_path_given_literally_is_ignored_with_all_below_it(path: str, below: str) -> None:
    rules = parse_ignore([path])
    assert rules.ignores(path)
    assert rules.ignores(f"{path}/{below}")


@given(PATH, st.lists(PATH, max_size=3))
def test_the_last_matching_rule_wins(path: str, others: list[str]) -> None:
    assert not parse_ignore([*others, f"!{path}"]).ignores(path)
    assert parse_ignore([*[f"!{other}" for other in others], path]).ignores(path)


@given(st.text(alphabet="ab*?", min_size=1, max_size=6), st.text(alphabet="ab", max_size=6))
def test_stars_and_question_marks_in_one_segment_match_as_in_a_shell(pattern: str, name: str) -> None:
    import re

    assert bool(re.fullmatch(pattern_regex(pattern), name)) == fnmatch.fnmatchcase(name, pattern)


@given(st.lists(st.text(alphabet=string.printable, max_size=12), max_size=4), PATH)
def test_any_text_is_a_rule_or_refused(lines: list[str], path: str) -> None:
    try:
        rules = parse_ignore(lines)
    except ValueError as exc:
        assert "pattern" in str(exc)
    else:
        assert rules.ignores(path) in (True, False)


@pytest.mark.parametrize("line", ["[", "[a", "[]", "a\\", "[b-a]", "!"])
def test_a_pattern_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        parse_ignore([line])
