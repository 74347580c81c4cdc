"""Every command keeps the command line's rules, whoever wrote it."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from paas.cli import root
from paas.serve.request import Request

#: Topic -> verbs; an empty verb is a command without one.
PROMISED = {
    "apps": ("create", "destroy", "list", "exists", "rename", "report", "lock", "unlock", "locked"),
    "config": ("set", "unset", "get", "show", "keys", "export", "import", "clear", "bundle", "rekey"),
    "ps": ("scale", "restart", "stop", "start", "restore", "rebuild", "report", "inspect", "rollback", "set"),
    "domains": ("add", "remove", "set", "clear", "report", "add-global", "remove-global", "set-global", "clear-global"),
    "ports": ("add", "remove", "set", "clear", "list", "report"),
    "proxy": ("route", "unroute", "report"),
    "checks": ("disable", "enable", "skip", "run", "set", "report"),
    "resource": ("limit", "limit-clear", "reserve", "reserve-clear", "report"),
    "docker-options": ("add", "remove", "clear", "list", "report"),
    "nginx": ("show-config", "validate-config", "access-logs", "error-logs", "report"),
    "releases": ("list", "info", "diff", "set", "report"),
    "builds": ("list", "info", "output", "cancel", "prune", "report", "set"),
    "logs": ("",), "enter": ("",), "run": ("", "detached", "list", "logs", "stop"),
    "ssh-keys": ("add", "list", "remove"),
    "app-json": ("report", "set"),
    "cron": ("list", "history", "run", "logs", "stop", "suspend", "resume", "set", "report"),
    "git": ("report", "set"),
    "url": ("",), "urls": ("",), "version": ("",), "events": ("",), "help": ("",), "doctor": ("",), "serve": ("",),
    "container": (
        "run", "create", "ps", "start", "stop", "restart", "kill", "rm", "wait", "rename", "update", "logs", "exec", "attach",
        "cp", "commit", "port", "inspect", "stats", "top", "volumes", "volume-create", "volume-rm",
    ),
    "image": ("list", "build", "tag", "rm", "import", "inspect", "history", "prune", "load", "save", "pull", "push"),
    "registry": ("login", "logout", "report", "set"),
    "stacks": ("build",),
    "builder-dockerfile": ("set", "report"), "dockerfile": ("set", "report"),
}  # fmt: skip


@pytest.mark.parametrize("name", root.all_commands())
def test_it_is_reached_by_its_name_and_says_what_it_does(name: str) -> None:
    command = root.all_commands()[name]
    assert re.fullmatch(r"[a-z-]+(:[a-z-]+)?", name)
    assert root.root.get_command(click.Context(root.root), name) is command
    assert command.help
    assert command.get_short_help_str(200).endswith(".")


@pytest.mark.parametrize("name", root.all_commands())
def test_it_explains_itself(name: str) -> None:
    said = CliRunner().invoke(root.root, [name, "--help"])
    assert said.exit_code == 0
    assert f"{name} " in said.output


@pytest.mark.parametrize("name", root.all_commands())
def test_it_stands_in_the_module_of_its_topic(name: str) -> None:
    topic = name.partition(":")[0]
    assert topic in root.topics() or any(name in names for names in root._TOPICLESS.values())
    if topic in root.topics():
        assert name in root.commands_of(topic)


@pytest.mark.parametrize("name", root.all_commands())
def test_what_deploys_goes_on_when_its_client_hangs_up(name: str) -> None:
    options = {option for parameter in root.all_commands()[name].params for option in parameter.opts}
    if options & {"--no-restart", "--cancel-on-disconnect"}:
        assert Request(argv=(name, "shop")).survives_hangup


@pytest.mark.parametrize("name", [name for name in root.all_commands() if name.endswith((":list", ":info", ":report", ":show"))])
def test_what_lists_or_reports_does_so_for_scripts_too(name: str) -> None:
    assert any("--format" in parameter.opts for parameter in root.all_commands()[name].params)


def test_no_name_is_taken_twice() -> None:
    names = [name for module in root.modules() for name in root.commands_of(module)]
    assert sorted(names) == sorted(root.all_commands())


def test_what_only_our_own_parts_run_is_hidden() -> None:
    hidden = set(root.all_commands()) - set(root.visible_commands("", is_admin=True))
    assert hidden == {"git:hook", "git-receive-pack", "git-upload-pack", "git-upload-archive"}


@pytest.mark.parametrize("name", [f"{topic}:{verb}".removesuffix(":") for topic, verbs in PROMISED.items() for verb in verbs])
def test_what_users_were_promised_is_there(name: str) -> None:
    assert name in root.all_commands()
