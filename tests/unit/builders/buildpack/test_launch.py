"""launch.toml and the Procfile -> processes."""

from __future__ import annotations

import tomllib

import pytest

from paas.builders.buildpack.launch import Launch, Process, combine, parse_launch
from paas.errors import BuildFailed
from paas.model.process import ProcessType


def parse(text: str, api: tuple[int, int] = (0, 10)) -> Launch:
    return parse_launch(tomllib.loads(text), api=api, buildpack="test")


def test_command_is_a_list_that_no_shell_reads() -> None:
    launch = parse('[[processes]]\ntype = "web"\ncommand = ["serve", "a b"]\nargs = ["-v"]\ndefault = true\nworking-dir = "/srv"')
    process = Process(type="web", argv=("serve", "a b", "-v"), workdir="/srv", is_default=True)
    assert launch == Launch(processes=(process,))
    assert process.process_type(has_env=True) == ProcessType(
        name="web", command="serve 'a b' -v", argv=("/cnb/launcher", "-p", "web", "-C", "/srv", "--", "serve", "a b", "-v")
    )


def test_bash_line_is_shown_as_the_line() -> None:
    process = parse('[[processes]]\ntype = "web"\ncommand = ["bash", "-c", "serve $PORT"]').processes[0]
    assert process.process_type() == ProcessType(
        name="web", command="serve $PORT", argv=("/cnb/launcher", "--", "bash", "-c", "serve $PORT")
    )


def test_old_api_means_a_shell_line_unless_direct() -> None:
    shell = parse('[[processes]]\ntype = "web"\ncommand = "serve $PORT"\nargs = ["a b"]', api=(0, 8))
    assert shell.processes == (Process(type="web", shell="serve $PORT 'a b'"),)
    direct = parse('[[processes]]\ntype = "web"\ncommand = "serve"\nargs = ["a b"]\ndirect = true', api=(0, 8))
    assert direct.processes == (Process(type="web", argv=("serve", "a b")),)


def test_labels_are_read() -> None:
    assert parse('[[labels]]\nkey = "a"\nvalue = "b"').labels == (("a", "b"),)


@pytest.mark.parametrize(
    "text",
    [
        '[[processes]]\ntype = "web"',
        '[[processes]]\ntype = "web"\ncommand = []',
        '[[processes]]\ntype = "a/b"\ncommand = ["x"]',
        "processes = 3",
        '[[labels]]\nkey = "a"',
    ],
)
def test_wrong_launch_toml_names_the_buildpack(text: str) -> None:
    with pytest.raises(BuildFailed, match="buildpack test wrote a launch.toml"):
        parse(text)


def test_procfile_wins_over_the_buildpacks() -> None:
    found = combine([Launch(processes=(Process(type="web", argv=("a",)),))], [ProcessType(name="worker", command="b && c")])
    assert [process.process_type() for process in found] == [
        ProcessType(name="worker", command="b && c", argv=("/cnb/launcher", "b && c"))
    ]


def test_later_buildpack_has_the_last_word_and_web_comes_first() -> None:
    first = Launch(processes=(Process(type="worker", argv=("w",)), Process(type="web", argv=("a",))))
    second = Launch(processes=(Process(type="web", argv=("b",)),))
    assert [(process.type, process.argv) for process in combine([first, second], [])] == [("web", ("b",)), ("worker", ("w",))]


def test_default_process_is_the_web_process() -> None:
    found = combine([Launch(processes=(Process(type="server", argv=("s",), is_default=True),))], [])
    assert [(process.type, process.argv) for process in found] == [("web", ("s",)), ("server", ("s",))]
