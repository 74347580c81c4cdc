"""Terminals: run, exec and attach with a real pseudo-terminal that is not ours; logs; detached streams."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

import pytest

from engine_ground import EngineGround
from paas.engines import Stdio
from paas.model.container import ContainerSpec

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A terminal as a user has it: we hold the keyboard and the screen (`user`), the command gets `command`."""

    user: int
    command: int

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self.user, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.user, text.encode())

    def wait_for(self, pattern: str, seen: str = "") -> str:
        """Read the screen until it shows the pattern."""
        deadline = time.monotonic() + 10
        while not re.search(pattern, seen):
            assert time.monotonic() < deadline, seen
            if select.select([self.user], [], [], 0.1)[0]:
                seen += os.read(self.user, 4096).decode()
        return seen


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    user, command = pty.openpty()
    yield Terminal(user=user, command=command)
    os.close(user)
    os.close(command)


def in_child(terminal: Terminal, work: Callable[[Stdio], int]) -> int:
    """Do something in a child that has no terminal of its own, with the terminal's descriptor; return the child's pid."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            code = work(Stdio(stdin=terminal.command, stdout=terminal.command, stderr=terminal.command))
        finally:
            os._exit(code)
    return child


def exit_code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def session(ground: EngineGround, kind: str) -> Callable[[Stdio], int]:
    spec = ContainerSpec(image="busybox", argv=("sh",), has_terminal=True, keeps_stdin=True)
    if kind == "run":
        return lambda stdio: ground.engine.run(spec, stdio)
    if kind == "start":
        made = ground.engine.create(spec)
        return lambda stdio: ground.engine.start_attached(made.id, stdio=stdio)
    container = ground.engine.start(ground.engine.create(ContainerSpec(image="busybox", argv=("sleep", "60"))).id)
    return lambda stdio: ground.engine.exec(container.id, ["sh"], stdio=stdio, has_terminal=True)


@pytest.mark.parametrize("kind", ["run", "start", "exec"])
def test_a_shell_on_a_terminal_echoes_resizes_is_interrupted_and_ends(
    ground: EngineGround, terminal: Terminal, kind: str
) -> None:
    terminal.resize(33, 101)
    before = termios.tcgetattr(terminal.command)
    child = in_child(terminal, session(ground, kind))
    terminal.type("tty; stty size; echo sum $((40 + 2))\n")
    terminal.wait_for(r"/dev/(pts/\d+|console)[\s\S]*33 101[\s\S]*sum 42")
    terminal.resize(20, 60)
    os.kill(child, signal.SIGWINCH)
    time.sleep(0.2)
    terminal.type("stty size\n")
    terminal.wait_for("20 60")
    terminal.type("sleep 60; echo after $?\n")
    time.sleep(0.2)
    terminal.type("\x03")
    terminal.type("echo next $((1 + 1))\n")
    terminal.wait_for("next 2")
    terminal.type("exit 17\n")
    assert exit_code_of(child) == 17
    assert Path(os.devnull).stat().st_uid == 0
    assert termios.tcgetattr(terminal.command) == before


def test_a_terminal_is_restored_when_the_command_is_cancelled(ground: EngineGround, terminal: Terminal) -> None:
    before = termios.tcgetattr(terminal.command)
    child = in_child(terminal, session(ground, "run"))
    terminal.type("echo up $((1 + 1))\n")
    terminal.wait_for("up 2")
    os.kill(child, signal.SIGTERM)
    assert exit_code_of(child) == 99
    assert termios.tcgetattr(terminal.command) == before
    assert ground.engine.list() == ()


def test_attaching_joins_streams_and_detaching_leaves_the_container_alone(ground: EngineGround) -> None:
    spec = ContainerSpec(image="busybox", argv=("cat",), keeps_stdin=True, name="echo")
    ground.engine.start(ground.engine.create(spec).id)
    source, feed = os.pipe()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        ground.engine.attach("echo", stdio=Stdio(stdin=source, stdout=writing, stderr=writing))
        os._exit(0)
    os.write(feed, b"hello\n")
    assert os.read(reading, 100) == b"hello\n"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert ground.engine.inspect("echo").is_running
    for descriptor in (source, feed, reading, writing):
        os.close(descriptor)


def test_the_input_of_a_detached_container_is_empty(ground: EngineGround) -> None:
    container = ground.engine.start(ground.engine.create(ContainerSpec(image="busybox", argv=("cat",))).id)
    assert ground.engine.wait(container.id, timeout_s=10) == 0


def test_logs_are_read_followed_and_kept_when_they_are_full(ground: EngineGround) -> None:
    script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo oops >&2"
    spec = ContainerSpec(image="busybox", argv=("sh", "-c", script), log_max_bytes=800)  # of some 15 lines
    container = ground.engine.start(ground.engine.create(spec).id)
    followed = ground.engine.logs(container.id, follow=True)
    texts, kept = [], 0
    for line in followed:
        kept += ground.engine.keep_logs(container.id)
        texts.append((line.stream, line.text))
    assert texts == [*(("stdout", f"line {n}") for n in range(1, 41)), ("stderr", "oops")]
    assert kept == 2
    left = [line.text for line in ground.engine.logs(container.id)]
    assert left == [*(f"line {n}" for n in range(41 - len(left) + 1, 41)), "oops"]
    assert 16 <= len(left) <= 31
    assert [line.text for line in ground.engine.logs(container.id, lines=2)] == ["line 40", "oops"]
