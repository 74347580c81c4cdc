import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidFile
from paas.model.jsonc import MAX_LENGTH, line_of, parse_jsonc, without_comments, written

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NOISE = st.sampled_from(["", " ", "\n", "// a \"note\" {,\n", "/* , ] } \n \" */", "/**/", "\t\r\n"])


@given(VALUES, st.data())
def test_comments_and_trailing_commas_change_no_value(value, data):
    def noise() -> str:
        return data.draw(NOISE)

    def write(one) -> str:
        if isinstance(one, dict):
            inner = ",".join(f"{noise()}{json.dumps(key)}{noise()}:{write(item)}" for key, item in one.items())
            return f"{noise()}{{{inner}{',' if one and data.draw(st.booleans()) else ''}{noise()}}}{noise()}"
        if isinstance(one, list):
            inner = ",".join(write(item) for item in one)
            return f"{noise()}[{inner}{',' if one and data.draw(st.booleans()) else ''}{noise()}]{noise()}"
        return f"{noise()}{json.dumps(one)}{noise()}"

    assert parse_jsonc(write(value), file="app.json").value == value


@given(st.text())
def test_blanking_moves_nothing(text):
    plain = without_comments(text)
    assert len(plain) == len(text)
    assert plain.count("\n") == text.count("\n")


@given(st.text(alphabet='{}[]",:/*0 a\n\\', max_size=40))
def test_any_text_is_a_value_or_an_invalid_file(text):
    try:
        parse_jsonc(text, file="app.json")
    except InvalidFile as exc:
        assert exc.message.startswith("app.json")


def test_each_value_is_found_on_its_line():
    text = '{\n "a": 1, // "b": 0\n "b": [\n  1,\n  {"c":\n   2}\n ],\n "a-": {}}'
    node = parse_jsonc(text, file="app.json")
    wanted = {("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 1): 5, ("b", 1, "c"): 5, ("a-",): 8, ("gone",): 0, (): 1}
    assert {path: line_of(node.text, path) for path in wanted} == wanted


def test_a_path_is_written_as_people_do():
    assert written(("healthchecks", "web", 0, "attempts")) == "healthchecks.web[0].attempts"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("{\n'a': 1}", 2, "is not JSON: Expecting property name enclosed in double quotes"),
        ('{"a": 1\n', 2, "is not JSON: Expecting ',' delimiter"),
        ('{"a": /* never closed', 1, "is not JSON: Expecting value"),
        ("<<<<<<< HEAD\n{}", 1, "is not JSON: Expecting value"),
        ('{"a": 1, "b": 2, "a": 3}', 0, "is not JSON: the key 'a' stands in one object twice"),
        ("[NaN]", 0, "is not JSON: NaN is no number in JSON"),
        ("[" * 100_000, 0, "is nested too deeply"),
        ("1" * 5000, 0, "is not JSON: Exceeds the limit"),
        (" " * (MAX_LENGTH + 1), 0, "is longer than 256 KiB"),
        ("", 1, "is not JSON: Expecting value"),
    ],
)
def test_what_is_no_json_is_refused_with_its_line(text, line, problem):
    with pytest.raises(InvalidFile) as caught:
        parse_jsonc(text, file="app.json")
    assert caught.value.line == line
    assert caught.value.problem.startswith(problem)
