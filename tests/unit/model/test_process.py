import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import InvalidFile, InvalidInput
from paas.model.process import ProcessType, command_line, default_formation, parse_procfile, parse_scale


def test_web_comes_first_and_the_rest_keep_their_order():
    found = parse_procfile("worker: python w.py\r\n# note\n// note\n\nweb:gunicorn app:app --bind :$PORT\nclock: tick\n")
    assert found == (
        ProcessType(name="web", command="gunicorn app:app --bind :$PORT"),
        ProcessType(name="worker", command="python w.py"),
        ProcessType(name="clock", command="tick"),
    )


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("web python app.py", 1, "expected 'type: command'"),
        ("web: a\n<<<<<<< HEAD\n", 2, "expected 'type: command'"),
        ("web:\n", 1, "expected 'type: command'"),
        ("web: a\nwork er: b", 2, "expected 'type: command'"),
        ("web: a\nwörker: b", 2, "'wörker' is not a process type"),
        ("web: a\nworker: b\nweb: c", 3, "process type 'web' stands here twice"),
        ("x" * 64 + ": a", 1, f"'{'x' * 64}' is not a process type"),
    ],
)
def test_a_wrong_procfile_is_refused_with_its_line(text, line, problem):
    with pytest.raises(InvalidFile) as caught:
        parse_procfile(text)
    assert (caught.value.line, caught.value.problem) == (line, problem)
    assert caught.value.message.startswith(f"Procfile:{line}: {problem}")


@given(st.text())
def test_any_text_is_a_procfile_or_an_invalid_file(text):
    try:
        found = parse_procfile(text)
    except InvalidFile:
        return
    assert len({p.name for p in found}) == len(found)


@pytest.mark.parametrize(
    ("process", "entrypoint", "argv"),
    [
        (ProcessType(name="web", argv=("/app", "-x")), ("/entry",), ("/app", "-x")),
        (ProcessType(name="web", command="python app.py"), (), ("/bin/sh", "-c", "exec python app.py")),
        (ProcessType(name="web", command="a && b"), (), ("/bin/sh", "-c", "a && b")),
        (ProcessType(name="web", command="A=1 python app.py"), (), ("/bin/sh", "-c", "A=1 python app.py")),
        (ProcessType(name="web", command="cd x"), (), ("/bin/sh", "-c", "cd x")),
        (ProcessType(name="web", command="serve 'two words'"), ("/entry",), ("/entry", "serve", "two words")),
    ],
)
def test_a_process_runs_by_its_argv_or_a_shell_or_the_entrypoint(process, entrypoint, argv):
    assert command_line(process, entrypoint) == argv


def test_one_web_process_runs_unless_scaled_and_the_release_task_never():
    types = tuple(ProcessType(name=n, command=n) for n in ("web", "worker", "release"))
    assert default_formation(types, {}) == {"web": 1, "worker": 0}
    assert default_formation(types, {"worker": 2, "web": 0, "gone": 4}) == {"web": 0, "worker": 2}


@pytest.mark.parametrize("text", ["web", "web=", "web=-1", "web=x", "=1", "we b=1", "web=501"])
def test_a_wrong_scale_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_scale(text)


def test_a_scale_is_a_type_and_a_count():
    assert parse_scale("web=3") == ("web", 3)


@pytest.mark.parametrize("written", ["$PORT", "${PORT}"])
def test_an_entrypoint_gets_the_port_that_its_arguments_name(written):
    process = ProcessType(name="web", command=f"--listen 0.0.0.0:{written} '$HOME' $PORTAL")
    assert command_line(process, ("/app",), port=8080) == ("/app", "--listen", "0.0.0.0:8080", "$HOME", "$PORTAL")


def test_quotes_that_do_not_end_are_no_arguments():
    with pytest.raises(InvalidInput, match="The command of web cannot be read"):
        command_line(ProcessType(name="web", command="say 'hello"), ("/app",))
