"""Config vars written and read back, in every format."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paas.errors import InvalidInput
from paas.model.envfile import FORMATS, decoded, encoded, parse, render

KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
#: What quoting is about.
TRICKY = st.text(st.sampled_from("ab '\"\\$`\n\r\t#=;{}!*~\u2028\x85é☃"), max_size=12)
VALUES = st.dictionaries(KEYS, TEXT | TRICKY, max_size=5)
NASTY = {"A": "x y", "B": "it's \"q\" $HOME `id` \\", "C": "line1\nline2\r\n", "D": "", "E": "ümläut 日本", "F": "#", "G": "\\n"}


@pytest.mark.parametrize("style", FORMATS)
@given(values=VALUES)
@example(values=NASTY)
@example(values={"export": "x", "A": " # x", "B": "\t", "C": "'\"'"})
def test_what_is_written_is_read_back_byte_for_byte(style, values):
    assert parse(render(values, style), style) == values
    assert decoded(parse(render(encoded(values), style), style)) == values


@pytest.mark.parametrize("style", ["exports", "shell"])
@given(values=st.dictionaries(st.sampled_from("ABC"), TEXT | TRICKY))
def test_a_shell_reads_the_same(style, values):
    script = render(values, style) + "\nfor k in A B C; do eval \"printf '%s\\0' \\\"\\${$k-unset}\\\"\"; done"
    said = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True).stdout.decode()
    assert said.split("\0")[:-1] == [values.get(key, "unset") for key in "ABC"]


@given(words=st.lists(st.text(st.sampled_from("ab='\"\\$ \n;"), max_size=8)))
def test_any_shell_text_is_read_as_a_shell_does_or_refused(words):
    text = " ".join(f"A={word}" for word in words)
    try:
        found = parse(text, "shell")
    except InvalidInput:
        return
    if "$" in text or "\n" in text or ";" in text or text.endswith("\\"):
        return  # there a shell would expand, run something, or read on
    said = subprocess.run(["sh"], input=f"{text}\nprintf %s \"$A\"".encode(), capture_output=True).stdout.decode()
    assert found.get("A", "") == said


@pytest.mark.parametrize("style", FORMATS)
@given(text=st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from("AB=-e'\"\\ \n#{}[]:,"), max_size=30))
def test_any_text_is_read_or_refused_without_being_shown(style, text):
    try:
        parse("SECRET_MARK " + text, style)
    except InvalidInput as exc:
        assert "SECRET_MARK" not in exc.message


DOTENV = """\
# a comment
PLAIN=value
  INDENTED = spaced out value   # behind it
export EXPORTED=yes
EMPTY=
COMMENT_ONLY=# nothing
HASH=a#b
SINGLE='as it is: $HOME \\n "x"'  # fine
DOUBLE="line one\\nline two \\"q\\" \\$HOME"
MULTI="first
second"
KEY_PEM='-----BEGIN-----
abc=
-----END-----'
BACKSLASH=C:\\new\\table
TWICE=1
TWICE=2
"""


def test_dotenv_files_are_read_as_others_write_them():
    expected = {
        "PLAIN": "value", "INDENTED": "spaced out value", "EXPORTED": "yes", "EMPTY": "", "COMMENT_ONLY": "", "HASH": "a#b",
        "SINGLE": 'as it is: $HOME \\n "x"', "DOUBLE": 'line one\nline two "q" $HOME', "MULTI": "first\nsecond",
        "KEY_PEM": "-----BEGIN-----\nabc=\n-----END-----", "BACKSLASH": "C:\\new\\table", "TWICE": "2",
    }  # fmt: skip
    assert parse(DOTENV, "dotenv") == expected
    assert parse(DOTENV.replace("\n", "\r\n"), "envfile")["PLAIN"] == "value"


def test_formats_look_as_documented():
    values = {"A": "x y", "B": "it's", "C": "z"}
    assert render(values, "exports") == "export A='x y'\nexport B='it'\"'\"'s'\nexport C=z"
    assert render(values, "shell") == "A='x y' B='it'\"'\"'s' C=z"
    assert render(values, "dotenv") == "A='x y'\nB=\"it's\"\nC=z"
    assert render(values, "docker-args") == "--env=A='x y' --env=B='it'\"'\"'s' --env=C=z"
    assert render({"A": "x y", "LONG": "z"}, "pretty") == "A:     x y\nLONG:  z"
    assert render(values, "docker-args-keys") == "--env=A --env=B --env=C"
    assert json.loads(render(values, "json")) == values
    assert json.loads(render(values, "json-list"))[0] == {"name": "A", "value": "x y"}
    assert parse("-e A=1 --env B=2 --env=C='3 4'", "docker-args") == {"A": "1", "B": "2", "C": "3 4"}
    assert parse('{"A": 1, "B": true, "C": "x"}', "json") == {"A": "1", "B": "true", "C": "x"}


@pytest.mark.parametrize(
    ("style", "text", "said"),
    [
        ("dotenv", "A=1\nno value\n", "Line 2 is no KEY=value"),
        ("dotenv", "A=1\nB='x\ny", "Line 2: the quote is never closed"),
        ("dotenv", "A='x'y", "Line 1: there is something behind the closing quote"),
        ("dotenv", "1A=x", "Line 1: the name is not valid"),
        ("dotenv", "A=x\0y", "Line 1: the value of A holds a NUL byte"),
        ("shell", "A=1 two", "Line 1 is no KEY=value"),
        ("exports", 'export A="x', "Line 1: the quote is never closed"),
        ("docker-args", "--env=A", "Line 1 is no --env=KEY=value"),
        ("docker-args", "A=1", "Line 1 is no --env=KEY=value"),
        ("json", "[1]", "This is no JSON object"),
        ("json", "{", "Line 1 is no JSON"),
        ("json", '{"A": null}', "The value of A is no string"),
        ("json", '{"A": "\\ud800"}', "the value of A is no Unicode text"),
        ("json", "[" * 100_000, "no JSON"),
        ("json-list", '[{"name": "A"}]', "This is no JSON list"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(style, text, said):
    with pytest.raises(InvalidInput, match=said):
        parse(text, style)


def test_what_is_not_base64_is_refused():
    for value in ("?", "YQ", "/w=="):
        with pytest.raises(InvalidInput, match="The value of A is not base64"):
            decoded({"A": value})


def test_a_name_with_quotes_in_it_is_a_command_but_for_export():
    for text in (r"A=1 \B=2", "'A=1'", "A''=1", '"A"=1'):
        with pytest.raises(InvalidInput, match="is no KEY=value"):
            parse(text, "shell")
    assert parse("export 'A=b c' \"B\"=2", "exports") == {"A": "b c", "B": "2"}
