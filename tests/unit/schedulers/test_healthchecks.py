"""Checks of app.json against real sockets on loopback; the engine is a stand-in, time passes only by sleeping."""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass, field, replace

import pytest

from paas.errors import DeployFailed, NotFound
from paas.model.healthcheck import Healthcheck, HealthcheckKind
from paas.output import Output
from paas.schedulers.local.healthchecks import Checking, attempt
from unit.schedulers.test_probes import RUNNING, STOPPED, Clock, OneContainer, server

PATH, COMMAND, LISTENING, UPTIME = (HealthcheckKind(kind) for kind in ("path", "command", "listening", "uptime"))


@dataclass
class Engine(OneContainer):
    """Runs commands by looking up their exit codes; -1 is one that cannot be run, 99 one that takes too long."""

    codes: list[int] = field(default_factory=list)

    def try_command(self, container, argv, *, timeout_s):
        code = self.codes.pop(0)
        if code < 0:
            raise NotFound("there is no such program")
        return (None if code == 99 else code), "one\ntwo\n"


def http(*answers: str):
    """Answer one request after the other with these texts (status line and headers, body behind an empty line)."""
    asked: list[str] = []

    def answer(connection: socket.socket) -> None:
        if request := connection.recv(4096):
            text = answers[min(len(asked), len(answers) - 1)]
            asked.append(request.decode())
            connection.sendall(f"HTTP/1.1 {text}".encode())

    return answer, asked


def checking(engine: Engine, clock: Clock, **changes) -> Checking:
    output = Output(io.StringIO(), io.StringIO())
    output.add_sink(changes.pop("said", []).append)
    given = {"process": "web.1", "port": 1, "host": "shop.localhost", "is_cancelled": lambda: False,
             "on_failure": lambda check, problem: (), **changes}  # fmt: skip
    return Checking(engine, RUNNING, output=output, now=clock.now, sleep=clock.sleep, **given)


def run(check: Healthcheck, *, engine: Engine | None = None, port: int = 1, clock: Clock | None = None, **changes) -> None:
    checking(engine or Engine(), clock or Clock(), port=port, **changes).run([check])


def test_a_page_with_the_content_passes_and_is_asked_for_by_name() -> None:
    answer, asked = http("200 OK\r\n\r\nhello world")
    with server(answer) as port:
        check = Healthcheck(kind=PATH, path="/health?x=1", content="o wor", headers=(("X-Key", "v"),))
        assert attempt(Engine(), RUNNING, check, port=port, host="shop.localhost").problem == ""
    assert asked[0].startswith("GET /health?x=1 HTTP/1.1\r\n")
    assert "\r\nHost: shop.localhost\r\n" in asked[0]
    assert "\r\nX-Key: v\r\n" in asked[0]
    assert asked[0].lower().count("host:") == 1


def test_a_host_header_of_the_check_wins() -> None:
    answer, asked = http("204 No Content\r\n\r\n")
    with server(answer) as port:
        check = Healthcheck(kind=PATH, headers=(("Host", "admin.example.com"),))
        assert attempt(Engine(), RUNNING, check, port=port, host="shop.localhost").is_passed
    assert asked[0].count("Host: ") == 1
    assert "Host: admin.example.com\r\n" in asked[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("500 Oops\r\n\r\n", "answered 500, not 2xx"),
        ("301 Moved\r\nLocation: https://x/\r\n\r\n", "answered 301 to https://x/, not 2xx"),
        ("200 OK\r\n\r\nbye", "answered 200, but without 'hello'"),
        ("nonsense\r\n\r\n", "was not answered: "),
    ],
)
def test_why_a_page_fails(text: str, problem: str) -> None:
    answer, _ = http(text)
    with server(answer) as port:
        found = attempt(Engine(), RUNNING, Healthcheck(kind=PATH, content="hello"), port=port, host="h")
    assert problem in found.problem
    assert not found.is_early


def test_an_answer_that_comes_in_drops_is_cut_off() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x")
                time.sleep(0.02)
        except OSError:
            return

    with server(drip) as port:
        found = attempt(Engine(), RUNNING, Healthcheck(kind=PATH, timeout_s=0.2), port=port, host="h")
    assert "was not answered within 0.2 s" in found.problem


def test_a_wrong_content_is_retried_like_any_other_failure() -> None:
    answer, asked = http("500 Oops\r\n\r\n", "200 OK\r\n\r\nstarting", "200 OK\r\n\r\nhello")
    clock = Clock()
    with server(answer) as port:
        run(Healthcheck(kind=PATH, content="hello", attempts=3, wait_s=5), port=port, clock=clock)
    assert len(asked) == 3
    assert 110.0 <= clock.at < 110.1


def test_after_its_attempts_a_check_has_failed_and_the_process_has_the_last_word() -> None:
    answer, asked = http("500 Oops\r\n\r\n")
    with server(answer) as port, pytest.raises(DeployFailed) as caught:
        run(Healthcheck(kind=PATH, name="health", attempts=2, wait_s=1), port=port)
    assert caught.value.message == f"web.1 failed its check 'health' 2 times: GET / on port {port} answered 500, not 2xx"
    assert caught.value.output == ("SyntaxError: oops",)
    assert len(asked) == 2


def test_a_port_where_nobody_listens_yet_is_asked_again_at_once() -> None:
    with server(lambda connection: None) as port:
        pass
    clock = Clock()
    with pytest.raises(DeployFailed, match="nobody listens there"):
        run(Healthcheck(kind=PATH, attempts=2, wait_s=3, timeout_s=4), port=port, clock=clock)
    assert 114.0 <= clock.at < 114.2


def test_an_initial_delay_comes_first() -> None:
    clock = Clock()
    run(Healthcheck(kind=COMMAND, command=("true",), initial_delay_s=7), engine=Engine(codes=[0]), clock=clock)
    assert 107.0 <= clock.at < 107.1


def test_a_command_passes_with_0_and_its_last_words_are_shown_else() -> None:
    run(Healthcheck(kind=COMMAND, command=("check", "it"), attempts=2, wait_s=1), engine=Engine(codes=[1, 0]))
    with pytest.raises(DeployFailed) as caught:
        run(Healthcheck(kind=COMMAND, command=("check", "it"), attempts=1), engine=Engine(codes=[3]))
    assert caught.value.message == "web.1 failed its check 'check it' once: exited with status 3"
    assert caught.value.output == ("SyntaxError: oops", "one", "two")
    with pytest.raises(DeployFailed, match="did not end within 5 s"):
        run(Healthcheck(kind=COMMAND, command=("slow",), attempts=1), engine=Engine(codes=[99]))
    with pytest.raises(DeployFailed, match="could not be run: there is no such program"):
        run(Healthcheck(kind=COMMAND, command=("nope",), attempts=1), engine=Engine(codes=[-1]))


def test_a_listener_and_an_uptime() -> None:
    with server(lambda connection: None) as port:
        assert attempt(Engine(), RUNNING, Healthcheck(kind=LISTENING, port=port), port=1, host="h").is_passed
    assert attempt(Engine(), RUNNING, Healthcheck(kind=LISTENING, port=port), port=1, host="h").is_early
    now = time.time()
    young, old = (replace(RUNNING, started_at=now - age) for age in (2, 11))
    assert attempt(Engine(), young, Healthcheck(kind=UPTIME), port=1, host="h").problem == "has been up for 2 s, not 10"
    assert attempt(Engine(), old, Healthcheck(kind=UPTIME), port=1, host="h").is_passed


def test_a_process_that_ends_while_it_is_checked_is_the_failure() -> None:
    engine = Engine(container=STOPPED, codes=[1, 1, 1])
    with pytest.raises(DeployFailed, match="web.1 exited with status 3"):
        run(Healthcheck(kind=COMMAND, command=("x",)), engine=engine)


def test_all_checks_must_pass_and_those_that_only_warn_do_not_count() -> None:
    said: list[str] = []
    fine = Healthcheck(kind=COMMAND, command=("a",), attempts=1)
    warning = Healthcheck(kind=COMMAND, command=("b",), is_warning=True)
    checking(Engine(codes=[0, 5]), Clock(), said=said).run([fine, warning])
    assert said == [" !     web.1: check 'b' exited with status 5; it only warns"]
    with server(lambda connection: None) as port:
        pass
    patient = Healthcheck(kind=LISTENING, port=port, attempts=1000, wait_s=100)
    with pytest.raises(DeployFailed, match="web.1 failed its check 'a' once"):  # the cause, not who was given up for it
        checking(Engine(codes=[1]), Clock()).run([patient, fine])


def test_a_check_is_given_up_when_another_process_has_failed() -> None:
    with pytest.raises(DeployFailed, match="given up"):
        run(Healthcheck(kind=COMMAND, command=("x",)), engine=Engine(codes=[1]), is_cancelled=lambda: True)


def test_what_a_check_wants_done_is_done_when_it_has_failed_or_warned_and_not_when_it_was_given_up() -> None:
    acted: list[tuple[str, str]] = []
    said: list[str] = []

    def act(check: Healthcheck, problem: str) -> tuple[str, ...]:
        acted.append((check.command[0], problem))
        return (f"done for {check.command[0]}",)

    bad, warning = (Healthcheck(kind=COMMAND, command=(name,), attempts=1, is_warning=name == "b") for name in ("a", "b"))
    checking(Engine(codes=[0, 5]), Clock(), on_failure=act, said=said).run([bad, warning])
    assert acted == [("b", "exited with status 5")]
    assert said[-1] == "       done for b"
    with pytest.raises(DeployFailed):
        checking(Engine(codes=[1]), Clock(), on_failure=act).run([bad])
    assert acted[1:] == [("a", "web.1 failed its check 'a' once: exited with status 1")]
    with pytest.raises(DeployFailed, match="given up"):
        checking(Engine(codes=[1]), Clock(), on_failure=act, is_cancelled=lambda: True).run([bad])
    assert len(acted) == 2
