"""The thin client: what it writes, and that it stays light."""

from __future__ import annotations

import json
import posix
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import paas
from paas.cli.client import as_json, environment, named_variables, socket_path, try_server


@pytest.mark.parametrize(
    "request_",
    [
        {"argv": ["ps:scale", 'a"b\\c', "ä€\U0001f600", "\x00\n\x7f", ""], "cwd": "/", "env": {"K": "V"}, "as": ""},
        {"command": "git-receive-pack 'shop'", "env": {}, "none": ()},
    ],
)
def test_what_is_sent_is_what_json_would_send(request_: dict[str, object]) -> None:
    assert as_json(request_) == json.dumps(request_)


def test_what_has_no_place_in_a_request_is_a_fault() -> None:
    with pytest.raises(TypeError):
        as_json({"argv": [1]})


def test_a_command_imports_nothing_that_costs_time() -> None:
    """Each of these costs as much as the rest of the client."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); import paas.cli.main, paas.cli.client; print(*sys.modules)"
    argv = [sys.executable, "-IS", "-c", script, str(Path(paas.__file__).parent.parent)]
    loaded = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    heavy = {
        "os", "__future__", "_json", "json", "socket", "signal", "enum", "re", "typing", "contextlib", "collections", "pathlib",
        "types", "site",
    }  # fmt: skip
    assert heavy & set(loaded) == set()


def test_our_environment_is_what_os_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "environ", {b"PAAS_RUN": b"/run/other/", b"BYTES": b"\xff\xc3\xa4"})
    assert environment() == {"PAAS_RUN": "/run/other/", "BYTES": "\udcff\u00e4"}
    assert socket_path() == "/run/other/paas.sock"


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (("container:run", "-e", "A", "i", "x"), {"A"}),
        (("container:exec", "-eA", "--env=B", "c", "x"), {"A", "B"}),
        (("container:create", "--env-file", "f", "i"), {"A", "B", "C"}),
        (("container:run", "-e", "A=1", "-e", "D", "i"), set()),
        (("image:build", "--build-arg", "B", "--secret", "id=x,env=C", "."), {"B", "C"}),
        (("run", "shop", "A"), None),
    ],
)
def test_variables_that_a_command_names_are_sent_and_no_others(words: tuple[str, ...], sent: set[str] | None) -> None:
    found = named_variables(words, {"A": "1", "B": "2", "C": "3"})
    assert found.keys() == (set() if sent is None else {"PAAS_CALLER_", *(f"PAAS_CALLER_{name}" for name in sent)})


def test_a_server_that_goes_while_the_command_is_sent_is_said_to_have_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.setenv("PAAS_RUN", directory)
        listener.bind(f"{directory}/paas.sock")
        listener.listen()
        leaver = threading.Thread(target=lambda: listener.accept()[0].close())
        leaver.start()
        assert try_server(["x" * (4 << 20)]) == posix.EX_UNAVAILABLE
        leaver.join()
    assert "The server ended" in capsys.readouterr().err
