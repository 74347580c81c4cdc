"""What every command of the command line keeps to."""

from __future__ import annotations

import re

import click
import pytest

from paas.cli import root

COMMANDS = root.all_commands()
WANTED = {
    "apps": "create destroy list exists rename report lock unlock",
    "config": "set unset get show export keys",
    "ps": "scale restart stop start rebuild report rollback inspect",
    "domains": "add remove report set-global",
    "ports": "add remove set clear list report",
    "nginx": "show-config validate-config",
    "releases": "list info",
    "builds": "list output",
    "": "logs run enter version help events doctor serve",
    "ssh-keys": "add list remove",
    "git": "hook",
    "container": "run ps start stop rm logs exec commit port inspect",
    "image": "list build tag rm import",
    "stacks": "build",
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_says_what_it_does_and_takes_documented_options(name):
    command = COMMANDS[name]
    assert command.hidden or command.get_short_help_str(200), f"{name} has no help"
    assert re.fullmatch(r"[a-z][a-z-]*(:[a-z][a-z-]*)?", name)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_flag and parameter.name != "style":
            assert parameter.help or parameter.metavar or parameter.show_default is not None or parameter.type


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_reached_by_its_topic(name):
    topic = name.partition(":")[0]
    assert root.root.get_command(click.Context(root.root), name) is COMMANDS[name]
    assert name in root.commands_of(root._ELSEWHERE.get(topic, topic))


def test_no_two_commands_share_a_name():
    names = [name for topic in root.topics() for name in root.commands_of(topic)]
    assert sorted(names) == sorted(set(names))


def test_the_commands_of_a_push_and_of_daily_life_are_there():
    wanted = {f"{topic}:{verb}".lstrip(":") for topic, verbs in WANTED.items() for verb in verbs.split()}
    assert sorted(wanted - set(COMMANDS)) == []
