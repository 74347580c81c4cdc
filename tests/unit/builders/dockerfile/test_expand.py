"""Properties of variable expansion."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.builders.dockerfile.expand import ExpansionError, Scope, expand_heredoc, expand_word

PLAIN = st.text(alphabet=string.ascii_letters + string.digits + " _-./:=,#{}*?[]")
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
ANY = st.text(alphabet=string.printable, max_size=40)


@given(PLAIN)
def test_a_word_without_dollar_quote_or_escape_stays_as_it_is(text: str) -> None:
    assert expand_word(text, {}) == text


@given(ANY)
def test_escaping_every_character_gives_the_word_back(text: str) -> None:
    assert expand_word("".join("\\" + char for char in text), {"a": "x"}) == text


@given(ANY.filter(lambda text: "'" not in text))
def test_single_quotes_protect_everything(text: str) -> None:
    assert expand_word(f"'{text}'", {"a": "x"}) == text


@given(NAME, ANY)
def test_a_value_is_put_in_as_it_is_and_never_expanded_again(name: str, value: str) -> None:
    assert expand_word(f"<${{{name}}}>", {name: value}) == f"<{value}>"
    assert expand_word(f'"${name}"', {name: value}) == value


@given(NAME, ANY, PLAIN.filter(lambda text: "}" not in text))
def test_default_and_alternative_follow_the_shell(name: str, value: str, word: str) -> None:
    assert expand_word(f"${{{name}:-{word}}}", {name: value}) == (value or word)
    assert expand_word(f"${{{name}-{word}}}", {name: value}) == value
    assert expand_word(f"${{{name}-{word}}}", {}) == word
    assert expand_word(f"${{{name}:+{word}}}", {name: value}) == (word if value else "")
    assert expand_word(f"${{{name}+{word}}}", {name: value}) == word
    assert expand_word(f"${{{name}+{word}}}", {}) == ""


@given(st.text(alphabet="ab/.", max_size=12), st.text(alphabet="ab/.", max_size=3))
def test_trimming_a_plain_prefix_or_suffix_is_python_s(value: str, part: str) -> None:
    assert expand_word(f"${{v#{part}}}", {"v": value}) == value.removeprefix(part)
    assert expand_word(f"${{v%{part}}}", {"v": value}) == value.removesuffix(part)
    assert expand_word(f"${{v##*{part}}}", {"v": value}) == (value.rpartition(part)[2] if part else "")


@given(st.text(alphabet=string.printable + "$\"'\\{}", max_size=30))
def test_expansion_ends_or_says_what_is_wrong(text: str) -> None:
    for expand in (expand_word, expand_heredoc):
        try:
            assert isinstance(expand(text, {"a": "1"}), str)
        except ExpansionError as exc:
            assert str(exc)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${", "bad substitution"), ("${A", "missing '}'"), ("${A:?gone}", "A: gone"), ("${A?}", "A: parameter not set"),
        ("'x", "single-quote"), ('"x', "double-quote"), ("${A^}", r"unsupported modifier \(\^\)"),
    ],
)  # fmt: skip
def test_a_broken_word_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ExpansionError, match=problem):
        expand_word(text, {})


def test_run_sees_given_proxies_declared_arguments_and_env_but_nothing_undeclared() -> None:
    scope = Scope(given={"http_proxy": "p", "SECRET": "s", "A": "given"}, env={"E": "1"}).declare("A", "default")
    assert scope.run_env() == {"http_proxy": "p", "HTTP_PROXY": "p", "A": "given", "E": "1"}
