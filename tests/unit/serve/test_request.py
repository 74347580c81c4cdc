from __future__ import annotations

import json

import pytest

from paas.errors import PermissionRefused
from paas.serve.request import Origin, parse_request


def from_ssh(command: str):
    return parse_request(json.dumps({"command": command, "as": "alice"}).encode())


def test_a_line_from_ssh_is_split_as_a_shell_would():
    request = from_ssh("config:set shop 'A=x y' B=\"it's\"")
    assert request.argv == ("config:set", "shop", "A=x y", "B=it's")
    assert request.origin is Origin.SSH
    assert from_ssh("").argv == ("help",)


@pytest.mark.parametrize("front", ["", "--quiet ", "--trace --force ", "--app shop ", "-a shop -q ", "--app=shop "])
def test_what_our_own_parts_run_is_refused_whatever_stands_in_front(front):
    for command in ("git:hook shop", "serve --stop", "ssh-command alice"):
        with pytest.raises(PermissionRefused):
            from_ssh(front + command)


@pytest.mark.parametrize("front", ["", "--quiet ", "--app shop ", "-a shop --trace ", "--app=shop "])
def test_options_in_front_change_nothing_about_what_a_command_is(front):
    assert from_ssh(f"{front}ps:restart shop").topic == "ps"
    assert from_ssh(f"{front}ps:restart shop").survives_hangup
    assert not from_ssh(f"{front}logs shop -t").survives_hangup
    assert not from_ssh(f"{front}logs shop -t").may_change_apps
