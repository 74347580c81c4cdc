"""What a command over SSH leaves open when there is nobody to run it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from paas.cli.client import SERVER_GONE
from paas.gateway.session import Session, Terminal


class SilentChannel:
    """A client that only listens; remembers the exit status it was given."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.said = b""

    def sendall(self, _output: bytes) -> None: ...

    def sendall_stderr(self, output: bytes) -> None:
        self.said += output

    def send_exit_status(self, status: int) -> None:
        self.status = status

    def close(self) -> None: ...


def descriptors() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own, or another thread's
            found.add(f"{entry.name} {entry.readlink()}")
    return found


@pytest.mark.parametrize("terminal", [None, Terminal(name="xterm", columns=80, rows=24)])
def test_a_command_that_no_server_takes_leaves_no_descriptor_open(tmp_path: Path, terminal: Terminal | None) -> None:
    before, ended, channel = descriptors(), threading.Event(), SilentChannel()
    session = Session(channel, command="apps:list", key_name="me", terminal=terminal, env={})
    session.start(tmp_path / "paas.sock", on_end=ended.set)
    assert ended.wait(10)
    assert channel.status == SERVER_GONE
    assert b"The server does not answer" in channel.said
    assert descriptors() == before
