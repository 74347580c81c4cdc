"""What is written into a Dockerfile is read back from it, however it is laid out."""

from __future__ import annotations

import json
import string
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from paas.builders.dockerfile.expand import Scope
from paas.builders.dockerfile.instructions import Arg, Cmd, Copy, Env, Instruction, Label, Run
from paas.builders.dockerfile.parser import parse_dockerfile
from paas.builders.dockerfile.stage import resolve
from paas.errors import InvalidFile

TEXT = st.text(alphabet=string.ascii_letters + string.digits + " $\"'\\{}#=<>|&;`é", max_size=20)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
WORD = st.text(alphabet=string.ascii_letters + string.digits + "/._-", min_size=1, max_size=10).filter(lambda w: w[0] != "-")
ARGV = st.lists(st.text(max_size=12), min_size=1, max_size=4)
PAIRS = st.dictionaries(NAME, TEXT, min_size=1, max_size=4)


def one(text: str) -> Instruction:
    """Return the instruction after FROM."""
    return parse_dockerfile(f"FROM x\n{text}\n").instructions[1]


def quoted(value: str) -> str:
    """Write a value so that nothing in it means anything."""
    return '"' + "".join(f"\\{char}" if char in '\\"$' else char for char in value) + '"'


@given(ARGV)
def test_an_exec_form_is_its_list(argv: list[str]) -> None:
    run, cmd = one(f"RUN {json.dumps(argv)}"), one(f"CMD {json.dumps(argv)}")
    assert isinstance(run, Run) and run.command.argv == tuple(argv)
    assert isinstance(cmd, Cmd) and cmd.command.argv == tuple(argv)


@given(PAIRS, st.sampled_from(["ENV", "LABEL"]))
def test_quoted_pairs_are_read_back_whatever_they_hold(pairs: dict[str, str], keyword: str) -> None:
    written = one(f"{keyword} " + " ".join(f"{name}={quoted(value)}" for name, value in pairs.items()))
    assert isinstance(written, Env | Label)
    found = resolve(written, Scope(env={"a": "never"}))
    assert isinstance(found, Env | Label)
    assert dict(found.pairs) == pairs


@given(PAIRS)
def test_arguments_keep_their_defaults(pairs: dict[str, str]) -> None:
    written = one("ARG " + " ".join(f"{name}={quoted(value)}" for name, value in pairs.items()))
    found = resolve(written, Scope())
    assert isinstance(found, Arg)
    assert dict(found.pairs) == pairs


@given(st.lists(WORD, min_size=2, max_size=5), st.booleans())
def test_sources_and_destination_are_the_words_in_either_form(words: list[str], as_json: bool) -> None:
    found = one("COPY " + (json.dumps(words) if as_json else " ".join(words)))
    assert isinstance(found, Copy)
    assert (*found.sources, found.destination) == tuple(words)


@given(st.lists(st.text(alphabet=string.printable.replace("\n", "").replace("\r", "").replace("\x0b", "").replace("\x0c", ""),
                        max_size=20).filter(lambda line: line != "END"), max_size=5))
def test_the_body_of_a_heredoc_is_kept_to_the_letter(lines: list[str]) -> None:
    found = one("RUN cat <<'END'\n" + "".join(f"{line}\n" for line in lines) + "END")
    assert isinstance(found, Run)
    assert found.heredocs[0].content == "".join(f"{line}\n" for line in lines)


FILLERS = st.lists(st.sampled_from(["# a comment", "", "   ", "\t# indented"]), max_size=2)


@given(st.lists(st.tuples(WORD, FILLERS), min_size=1, max_size=6), st.sampled_from(["RUN", "run", "Run"]))
def test_comments_and_blank_lines_between_continued_lines_change_nothing(
    parts: list[tuple[str, list[str]]], keyword: str
) -> None:
    plain = "RUN " + " ".join(word for word, _ in parts)
    lines = [f"{keyword} \\"]
    for word, fillers in parts[:-1]:
        lines += [f"{word} \\", *fillers]
    found, expected = one("\n".join([*lines, parts[-1][0]])), one(plain)
    assert isinstance(found, Run) and isinstance(expected, Run)
    assert found.command.line.split() == expected.command.line.split()
    assert replace(found, command=expected.command, text=expected.text) == expected


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_is_parsed_or_refused_with_its_file(text: str) -> None:
    try:
        parse_dockerfile("FROM x\n" + text)
    except InvalidFile as exc:
        assert exc.message.startswith("Dockerfile:")
