"""Probing real sockets on loopback; the engine is a stand-in that says whether the process lives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness import wait_until
from paas.engines import LogLine
from paas.errors import DeployFailed
from paas.model.container import PLATFORM, Container, ContainerStatus
from paas.model.probe import Probe, ProbeKind
from paas.schedulers.local import stillness
from paas.schedulers.local.probes import BUSY_S, OTHER_PROTOCOL_S, STILL_S, how_it_ended, listening_ports, wait_until_ready

RUNNING = Container(
    id="c1", name="shop.web.1", image="i", tenant=PLATFORM, argv=("x",), labels={}, status=ContainerStatus.RUNNING, created_at=0,
    address="127.0.0.1",
)  # fmt: skip
STOPPED = replace(RUNNING, status=ContainerStatus.STOPPED, exit_code=3)


@dataclass
class OneContainer:
    """An engine with one container whose state the test sets; `exit_code` is known only to who waits for it."""

    container: Container = RUNNING
    exit_code: int | None = None

    def wait(self, container: str, *, timeout_s: float = 0) -> int | None:
        if self.exit_code is not None:
            self.container = replace(self.container, exit_code=self.exit_code)
        return self.container.exit_code

    def inspect(self, container: str) -> Container:
        return self.container

    def logs(self, container: str, *, lines: int = 0) -> list[LogLine]:
        return [LogLine(at=0, stream="stderr", text="SyntaxError: oops")]


@dataclass
class Clock:
    """Time that passes only by sleeping."""

    at: float = 100.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on loopback and let `answer` have each connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answer(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def wait(engine: OneContainer, port: int, clock: Clock, **changes) -> None:
    probe = Probe(**{"kind": ProbeKind.LISTENING, "port": port, "timeout_s": 60.0, **changes})
    wait_until_ready(engine, RUNNING, probe, process="web.1", host="shop", now=clock.now, sleep=clock.sleep)


def test_a_process_that_answers_is_ready_whatever_it_says():
    asked = []

    def answer(connection: socket.socket) -> None:
        if request := connection.recv(4096):
            asked.append(request.decode())
            connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")

    with server(answer) as port:
        wait(OneContainer(), port, clock := Clock())
    assert clock.at == 100.0  # at the first look
    assert asked[-1].startswith("GET / HTTP/1.1\r\nHost: shop\r\n")


def test_a_process_that_listens_but_dies_while_loading_is_a_failure_with_its_last_lines():
    engine = OneContainer()

    def answer(connection: socket.socket) -> None:
        if connection.recv(4096):
            engine.container = STOPPED

    with server(answer) as port, pytest.raises(DeployFailed, match="web.1 exited with status 3") as caught:
        wait(engine, port, Clock())
    assert caught.value.output == ("SyntaxError: oops",)


def test_a_process_that_hangs_up_but_stays_speaks_another_protocol():
    with server(lambda connection: None) as port:
        wait(OneContainer(), port, clock := Clock())
    assert clock.at >= 100.0 + OTHER_PROTOCOL_S


def test_a_process_that_never_listens_runs_out_of_time():
    clock = Clock()
    with server(lambda connection: None) as port:
        pass
    with pytest.raises(DeployFailed, match=r"did not listen on port \d+ \(\$PORT\) within 7 s"):
        wait(OneContainer(), port, clock, timeout_s=7.0)
    assert 107.0 <= clock.at < 107.1


def test_a_worker_is_ready_when_it_stayed_up():
    clock = Clock()
    wait(OneContainer(), 0, clock, kind=ProbeKind.UPTIME, uptime_s=1.0)
    assert 101.0 <= clock.at < 101.1


def test_a_worker_that_is_still_loading_is_waited_for(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(stillness, "activity_of", lambda pid: (int(clock.at * 100), clock.at < 102.0))
    wait(OneContainer(), 0, clock, kind=ProbeKind.UPTIME, uptime_s=1.0)
    assert clock.at >= 100.0 + BUSY_S  # its ticks grow all the time: it is always busy
    clock.at = 100.0
    monkeypatch.setattr(stillness, "activity_of", lambda pid: (7, clock.at < 102.0))
    wait(OneContainer(), 0, clock, kind=ProbeKind.UPTIME, uptime_s=1.0)
    assert 102.0 + STILL_S <= clock.at < 102.5


def test_what_a_process_tree_does_is_read_from_the_kernel():
    sleeper = subprocess.Popen(["sh", "-c", "while :; do :; done & echo; sleep 60"], stdout=subprocess.PIPE)
    try:
        sleeper.stdout.readline()
        assert wait_until("its child runs", lambda: stillness.activity_of(sleeper.pid)[1])
        before = stillness.activity_of(sleeper.pid)[0]
        assert wait_until("time passes", lambda: stillness.activity_of(sleeper.pid)[0] > before)
    finally:
        for child in Path(f"/proc/{sleeper.pid}/task/{sleeper.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        sleeper.kill()
        sleeper.communicate()
    assert stillness.activity_of(sleeper.pid) == (0, False)


def test_others_give_up_when_one_has_failed():
    with server(lambda connection: None) as port:
        pass
    probe = Probe(kind=ProbeKind.LISTENING, port=port)
    clock = Clock()
    with pytest.raises(DeployFailed, match="given up because another process failed"):
        wait_until_ready(
            OneContainer(), RUNNING, probe, process="web.2", host="shop", now=clock.now, sleep=clock.sleep,
            is_cancelled=lambda: True,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exit_code": 3}, "exited with status 3 instead of staying up"),
        ({"exit_code": 0}, "exited with status 0 instead of staying up"),
        ({"exit_code": 139}, "was killed by SIGSEGV"),
        ({"exit_code": 255}, "exited with status 255 instead of staying up"),
        ({"exit_code": 137, "is_oom_killed": True}, "was killed because it used more memory than it may"),
        ({"exit_code": None}, "ended"),
    ],
)
def test_the_end_of_a_process_is_told_in_words(changes, said):
    assert how_it_ended(replace(STOPPED, **changes)) == said


def test_listening_ports_are_read_from_the_processes_own_namespace():
    import os

    with server(lambda connection: None) as port:
        assert ("0100007F", port) in listening_ports(os.getpid())
    assert listening_ports(2**22 + 1) == ()


def test_the_exit_code_is_waited_for():
    just_ended = replace(RUNNING, status=ContainerStatus.STOPPED, exit_code=None)
    with pytest.raises(DeployFailed, match="web.1 exited with status 7 instead of staying up"):
        wait(OneContainer(container=just_ended, exit_code=7), 1, Clock())
