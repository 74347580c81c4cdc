from paas.cli.logs import Followed, last_lines, log_files, new_lines, rendered
from paas.engines import LogLine


def line(second: int, text: str, tag: str = "F") -> str:
    return f"2026-01-01T00:00:{second:02}.000000000+00:00 stdout {tag} {text}\n"


def write(folder, process, container, *lines):
    file = folder / process / f"{container}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write("".join(lines))
    return file


def following(folder, process=""):
    return {file: Followed.from_its_end(file) for file in log_files(folder, process)}


def merged(folder, process, count):
    return last_lines(following(folder, process).values(), count)


def texts(found):
    return [(process, entry.text) for process, entry in found]


def test_logs_of_all_containers_old_and_new_are_merged_by_time(tmp_path):
    write(tmp_path, "web.1", "old", line(1, "a"), line(4, "d"))
    write(tmp_path, "web.1", "new", line(3, "c"))
    write(tmp_path, "worker.1", "w", line(2, "b"))
    assert texts(merged(tmp_path, "", 0)) == [("web.1", "a"), ("worker.1", "b"), ("web.1", "c"), ("web.1", "d")]
    assert texts(merged(tmp_path, "", 2)) == [("web.1", "c"), ("web.1", "d")]
    assert texts(merged(tmp_path, "worker", 0)) == [("worker.1", "b")]
    assert texts(merged(tmp_path, "web.1", 1)) == [("web.1", "d")]


def test_an_app_without_logs_has_none(tmp_path):
    assert merged(tmp_path / "none", "", 0) == []


def test_following_sees_new_lines_and_new_containers_once(tmp_path):
    write(tmp_path, "web.1", "a", line(1, "before"))
    followed = following(tmp_path)
    assert new_lines(tmp_path, "", followed) == []
    write(tmp_path, "web.1", "a", line(2, "x"), line(3, "part", "P"))
    write(tmp_path, "web.2", "b", line(2, "deployed"))
    assert texts(new_lines(tmp_path, "", followed)) == [("web.1", "x"), ("web.2", "deployed")]
    write(tmp_path, "web.1", "a", line(3, "ial"))
    assert texts(new_lines(tmp_path, "", followed)) == [("web.1", "partial")]


def test_following_loses_nothing_and_repeats_nothing_when_a_log_is_rotated(tmp_path):
    file = write(tmp_path, "web.1", "a", line(1, "before"))
    followed = following(tmp_path)
    write(tmp_path, "web.1", "a", line(2, "last of the old"))
    file.rename(file.with_name("a.log.1"))
    write(tmp_path, "web.1", "a", line(3, "first of the new, much longer than what was there before"))
    assert [text for _, text in texts(new_lines(tmp_path, "", followed))] == [
        "last of the old", "first of the new, much longer than what was there before",
    ]  # fmt: skip
    assert new_lines(tmp_path, "", followed) == []


def test_what_is_written_while_the_past_is_shown_comes_once(tmp_path):
    write(tmp_path, "web.1", "a", line(1, "past"))
    followed = following(tmp_path)
    write(tmp_path, "web.1", "a", line(2, "meanwhile"))
    assert texts(last_lines(followed.values(), 100)) == [("web.1", "past")]
    assert texts(new_lines(tmp_path, "", followed)) == [("web.1", "meanwhile")]


def test_the_command_shows_the_text_alone_when_quiet(cli):
    cli.ctx.state.apps.create("shop", 0)
    write(cli.ctx.paths.app_logs("shop"), "web.1", "a", line(1, "one"), line(2, "two"))
    assert cli("logs", "shop", "-q", "-n", "1") == 0
    assert cli.out.getvalue() == "two\n"
    assert cli("logs", "shop", "-p", "worker") == 20


def test_a_line_looks_as_with_dokku():
    assert rendered("shop", "web.1", LogLine(at=1767225601.5, stream="stdout", text="hi")) == (
        "2026-01-01T00:00:01.500000000Z shop[web.1]: hi"
    )
