"""Logs: parsed, read from their end, followed, and kept when conmon replaces them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from paas.engines import LogLine
from paas.engines.embedded.logs import end_of_log, follow_log, keep_replaced, parse_lines, read_log, read_on

LOG = b"""\
2026-11-24T02:21:31.133469536+00:00 stdout F first
2026-11-24T02:21:31.500000000+00:00 stdout P be
2026-11-24T02:21:31.600000000+00:00 stderr F a warning with  spaces
not a log line
2026-11-24T03:21:32.000000000+01:00 stdout F gins
"""


def test_log_lines_are_parsed_and_parts_joined() -> None:
    assert list(parse_lines(LOG.splitlines())) == [
        LogLine(at=pytest.approx(1795486891.133469536), stream="stdout", text="first"),
        LogLine(at=pytest.approx(1795486891.6), stream="stderr", text="a warning with  spaces"),
        LogLine(at=pytest.approx(1795486892.0), stream="stdout", text="begins"),
    ]


def test_a_line_keeps_its_carriage_returns_but_that_of_a_terminal_at_its_end(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", "10%\r20%", "done\r")
    assert texts_of(log) == texts_of(log, lines=2) == ["10%\r20%", "done"]
    assert [line.text for line in follow_log(log, lines=0, is_over=lambda: True)] == ["10%\r20%", "done"]


def test_letters_are_whole_though_their_bytes_are_in_two_pieces(tmp_path: Path) -> None:
    first, second = "ä€".encode()[:3], "ä€".encode()[3:]
    log = write_log(tmp_path / "log")
    for tag, piece in ((b"P", first), (b"F", second)):
        with log.open("ab") as stream:
            stream.write(b"2026-11-24T02:21:31.0+00:00 stdout " + tag + b" " + piece + b"\n")
    assert texts_of(log) == ["ä€"]


def test_what_came_last_without_the_end_of_its_line_is_shown(tmp_path: Path) -> None:
    log = write_log(write_log(tmp_path / "log", "first"), "no ", "end", tag="P")
    assert texts_of(log) == ["first", "no end"]
    assert texts_of(log, lines=1) == ["no end"]
    assert [line.text for line in follow_log(log, lines=0, is_over=lambda: True)] == ["first", "no end"]


def test_a_line_that_ends_while_it_is_followed_is_whole(tmp_path: Path) -> None:
    log = write_log(write_log(tmp_path / "log", "first"), "be", tag="P")
    found = follow_log(log, lines=0, is_over=lambda: True)
    assert next(found).text == "first"
    write_log(log, "gins")
    assert [line.text for line in found] == ["begins"]


@pytest.mark.parametrize(("lines", "texts"), [(0, ["b", "c", "d"]), (1, ["d"]), (2, ["c", "d"]), (3, ["b", "c", "d"])])
def test_the_last_lines_reach_back_into_the_rotated_log(tmp_path: Path, lines: int, texts: list[str]) -> None:
    stamp = "2026-11-24T02:21:31.0+00:00 stdout F "
    (tmp_path / "log").write_text(f"{stamp}d\n")
    (tmp_path / "log.1").write_text(f"{stamp}b\n{stamp}c\n")
    assert [line.text for line in read_log(tmp_path / "log", lines=lines)] == texts


def test_a_log_longer_than_a_chunk_is_read_from_its_end(tmp_path: Path) -> None:
    stamp = "2026-11-24T02:21:31.0+00:00 stdout F "
    (tmp_path / "log").write_text("".join(f"{stamp}{'x' * 500} {n}\n" for n in range(1000)))
    assert [line.text.split()[1] for line in read_log(tmp_path / "log", lines=200)] == [str(n) for n in range(800, 1000)]


times = itertools.count(100_000_000)


def write_log(path: Path, *texts: str, tag: str = "F") -> Path:
    with path.open("a") as stream:
        stream.writelines(f"2026-11-24T02:21:31.{next(times)}+00:00 stdout {tag} {text}\n" for text in texts)
    return path


def replace_log(path: Path) -> None:
    """What conmon does with a full log."""
    path.with_name("log.tmp").write_text("")
    path.with_name("log.tmp").rename(path)


def texts_of(path: Path, **how: int) -> list[str]:
    return [line.text for line in read_log(path, **how)]


def test_what_is_replaced_is_read_before_and_after_it_is_kept(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", "a", "b")
    assert not keep_replaced(log)
    replace_log(log)
    write_log(log, "c")
    assert texts_of(log) == ["a", "b", "c"]
    assert keep_replaced(log)
    assert not keep_replaced(log)
    assert texts_of(log) == ["a", "b", "c"]
    replace_log(log)
    write_log(log, "d")
    assert texts_of(log) == ["a", "b", "c", "d"]
    assert keep_replaced(log)
    assert texts_of(log) == ["c", "d"]
    assert texts_of(log, lines=3) == ["c", "d"]


def test_a_log_that_is_not_there_is_not_kept(tmp_path: Path) -> None:
    assert not keep_replaced(tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_a_line_in_pieces_across_a_replacement_is_whole(tmp_path: Path) -> None:
    log = write_log(write_log(tmp_path / "log", "first"), "be", "gin", tag="P")
    keep_replaced(log)
    replace_log(log)
    write_log(log, "ning", "last")
    assert texts_of(log, lines=2) == ["beginning", "last"]


def test_many_pieces_do_not_count_as_lines(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", "first")
    write_log(write_log(log, *(["x" * 1000] * 500), tag="P"), "", "last")
    assert [len(text) for text in texts_of(log, lines=3)] == [5, 500_000, 4]


def test_reading_ends_where_it_was_told_even_if_the_log_is_replaced_meanwhile(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", "a")
    keep_replaced(log)
    end = end_of_log(log)
    write_log(log, "b")
    replace_log(log)
    write_log(log, "c")
    assert [line.text for line in read_log(log, end=end)] == ["a"]
    assert [line.text for line in read_log(log, lines=5, end=end)] == ["a"]
    keep_replaced(log)
    assert [line.text for line in read_log(log, end=end)] == ["a"]
    assert list(read_log(log, end=end_of_log(tmp_path / "none"))) == []


def test_reading_on_goes_through_replacements_and_is_not_misled_by_inodes_used_again(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", "a")
    keep_replaced(log)
    position = end_of_log(log)
    assert read_on(log, position) == (b"", position)
    write_log(log, "b")
    for text in ("c", "d", "e"):
        replace_log(log)
        write_log(log, text)
        if text != "e":
            keep_replaced(log)
    found = []
    while True:
        fresh, position = read_on(log, position)
        if not fresh:
            break
        found += [line.text for line in parse_lines(fresh.splitlines())]
    assert found == ["c", "d", "e"]  # "b" went: its file was replaced, and so was the next


def test_reading_on_begins_again_when_the_log_was_emptied_by_hand(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", "a", "b")
    position = end_of_log(log)
    log.write_bytes(b"")
    write_log(log, "c")
    assert read_on(log, position)[0].endswith(b" c\n")
