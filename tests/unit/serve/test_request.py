"""What clients may ask, and how SSH command lines are read."""

from __future__ import annotations

import json

import pytest

from paas.errors import PermissionRefused, UsageError
from paas.serve.request import Origin, Request, parse_request


def over_ssh(command: str) -> Request:
    return parse_request(json.dumps({"command": command, "as": "alice"}).encode())


def test_local_request_is_taken_as_it_is() -> None:
    line = json.dumps({"argv": ["config:set", "shop", "A=b c\n"], "cwd": "/tmp", "env": {"TERM": "xterm", "EVIL": "1"}}).encode()
    assert parse_request(line) == Request(
        argv=("config:set", "shop", "A=b c\n"), origin=Origin.LOCAL, identity="", cwd="/tmp", env={"TERM": "xterm"}
    )


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("", ("help",)),
        ("  ", ("help",)),
        ("apps:list", ("apps:list",)),
        ("config:set shop 'A=b c' B=\"d e\" C=f\\ g", ("config:set", "shop", "A=b c", "B=d e", "C=f g")),
        ("git-receive-pack '/shop.git'", ("git-receive-pack", "/shop.git")),
        ("git receive-pack 'shop'", ("git-receive-pack", "shop")),
        ("git upload-pack 'shop'", ("git-upload-pack", "shop")),
        ("git:report shop", ("git:report", "shop")),
        ("run shop sh -c 'echo $HOME; ls | wc'", ("run", "shop", "sh", "-c", "echo $HOME; ls | wc")),
        ("config:set shop 'A=line\none'", ("config:set", "shop", "A=line\none")),
    ],
)
def test_ssh_command_is_split_as_a_shell_would(command: str, argv: tuple[str, ...]) -> None:
    assert over_ssh(command).argv == argv


def test_bytes_that_are_no_text_survive() -> None:
    assert over_ssh("echo a\udcff").argv == ("echo", "a\udcff")


@pytest.mark.parametrize("command", ["git:hook shop", "serve --stop", "ssh-command root"])
def test_internal_commands_are_not_for_users(command: str) -> None:
    with pytest.raises(PermissionRefused):
        over_ssh(command)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"x", b"[]", b"1", b"{}", b'{"argv": "ls"}', b'{"argv": [1]}', b'{"argv": [], "env": 1}', b"\xff",
        b"[" * 100_000,
        b'{"argv": [], "env": {"LANG": "\\ud800"}}',
        b'{"argv": [], "env": {"LANG": "a\\u0000"}}',
        b'{"argv": [], "as": "\\u0000"}',
    ],
)  # fmt: skip
def test_nonsense_is_refused(line: bytes) -> None:
    with pytest.raises(UsageError):
        parse_request(line)


def test_unbalanced_quotes_are_explained() -> None:
    with pytest.raises(UsageError, match="No closing quotation"):
        over_ssh("echo 'a")


def test_only_commands_of_ours_hear_that_their_client_is_gone() -> None:
    assert Request(argv=("git:hook", "shop")).hears_hangup
    assert Request(argv=("config:set", "shop", "A=b")).hears_hangup
    assert not Request(argv=("git-receive-pack", "shop")).hears_hangup


@pytest.mark.parametrize(
    ("argv", "survives", "changes"),
    [
        (("git-receive-pack", "shop"), True, True),
        (("git:hook", "shop"), True, True),
        (("ps:scale", "shop", "web=2"), True, True),
        (("--quiet", "config:set", "shop", "A=b"), True, True),
        (("git-upload-pack", "shop"), False, False),
        (("logs", "shop", "-t"), False, False),
        (("run", "shop", "bash"), False, False),
        (("container:exec", "x", "sh"), False, True),
        ((), False, False),
    ],
)
def test_what_changes_something_survives_its_client(argv: tuple[str, ...], survives: bool, changes: bool) -> None:
    request = Request(argv=argv)
    assert (request.survives_hangup, request.may_change_apps) == (survives, changes)
