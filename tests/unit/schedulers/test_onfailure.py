"""What a check asks for when it has failed, against a real socket on loopback; the engine is a stand-in."""

from __future__ import annotations

import json
import socket

import pytest

from paas.model.healthcheck import Healthcheck, HealthcheckKind
from paas.schedulers.local.onfailure import act_on_failure, is_for_apps
from unit.schedulers.test_healthchecks import Engine
from unit.schedulers.test_probes import RUNNING, server


def act(check: Healthcheck, *, codes: tuple[int, ...] = (), is_allowed=lambda address: True) -> tuple[str, ...]:
    said = act_on_failure(
        Engine(codes=list(codes)), RUNNING, check, title="'health'", process="web.1", app="shop", problem="answered 500",
        is_allowed=is_allowed,
    )  # fmt: skip
    assert all(line.startswith("onFailure of check 'health' (web.1): ") for line in said)
    return tuple(line.partition("): ")[2] for line in said)


def check(*command: str, url: str = "") -> Healthcheck:
    return Healthcheck(kind=HealthcheckKind.PATH, on_failure_command=command, on_failure_url=url)


def test_nothing_is_done_for_a_check_that_asks_for_nothing() -> None:
    assert act(check()) == ()


def test_the_command_says_how_it_ended() -> None:
    assert act(check("notify", "me"), codes=(0,)) == ("notify me exited with status 0", "one", "two")
    assert act(check("notify"), codes=(99,))[0] == "notify did not end within 30 s"
    assert act(check("notify"), codes=(-1,)) == ("could not run notify: there is no such program",)


def test_the_url_gets_what_failed_and_where_as_json() -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        received = b""
        while b"}" not in received:
            received += connection.recv(4096)
        asked.append(received)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n")

    with server(answer) as port:
        said = act(check("true", url=f"http://127.0.0.1:{port}/a/secret?x=1"), codes=(0,))
    assert said[-1] == "posted to http://127.0.0.1, which answered 302"  # not followed, and the path stays secret
    head, _, body = asked[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /a/secret?x=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{port}\r\n" in head
    assert json.loads(body) == {
        "healthcheck_name": "'health'", "errors": ["answered 500"], "app": "shop", "process": "web.1"
    }  # fmt: skip


def test_a_url_that_does_not_answer_is_said() -> None:
    with server(lambda connection: None) as port:
        pass
    (said,) = act(check(url=f"http://127.0.0.1:{port}/"))
    assert said.startswith("could not POST to http://127.0.0.1: ")
    with server(lambda connection: connection.sendall(b"nonsense\r\n")) as port:
        (said,) = act(check(url=f"http://127.0.0.1:{port}/"))
    assert said.startswith("could not POST to http://127.0.0.1: ")


def test_an_app_has_nothing_posted_to_the_machine_itself() -> None:
    with server(lambda connection: None) as port:
        said = act(check(url=f"http://localhost:{port}/"), is_allowed=is_for_apps)
    assert said == ("http://localhost is this machine's own and not posted to",)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("::ffff:127.0.0.1", False), ("0.0.0.0", False),
        ("169.254.169.254", False), ("fe80::1%eth0", False), ("10.1.2.3", True), ("192.0.2.1", True), ("2001:db8::1", True),
    ],
)  # fmt: skip
def test_which_addresses_are_for_apps(address: str, expected: bool) -> None:
    assert is_for_apps(address) is expected
