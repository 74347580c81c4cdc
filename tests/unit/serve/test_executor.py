"""The executor when the machine has no room for one more process."""

from __future__ import annotations

import errno
import json
import os
import pwd
import socket
import threading
from pathlib import Path

import pytest

from paas.cli.client import open_command
from paas.serve.executor import Executor


class Stop:
    """A wish to end that is set by a call instead of a signal."""

    def __init__(self) -> None:
        self.is_set = False
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def set(self) -> None:
        self.is_set = True
        os.write(self._writer, b"x")


def test_commands_that_cannot_be_started_are_refused_and_the_executor_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", no_room)
    stop, answers = Stop(), []

    def ask_twice() -> None:
        for _ in range(2):
            with open_command(str(tmp_path / "s"), {"argv": ["apps:list"]}, (0, 1, 2)) as connection:
                answers.append(json.loads(connection.recv(65536)))
        stop.set()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        asking = threading.Thread(target=ask_twice)
        asking.start()
        Executor(listener, user=pwd.getpwuid(os.geteuid()).pw_name, run=lambda *_: 0, poke=lambda: None).serve(stop)
        asking.join()
    assert [(answer["exit"], answer["error"]) for answer in answers] == [
        (80, "The command could not be started: Resource temporarily unavailable")
    ] * 2
