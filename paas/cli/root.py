"""Dispatch of `topic:verb`: each topic is a module of this package with `COMMANDS`; only the one asked for is imported."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

import click

from paas import cli
from paas.cli.common import error_boundary
from paas.context import Context, make_context
from paas.errors import PermissionRefused, UsageError

#: Modules of this package that hold no commands.
_PLUMBING = frozenset({"client", "common", "main", "root", "properties"})
#: Commands that stand in another module than the one named like their topic.
_ELSEWHERE = {"url": "misc", "urls": "misc", "version": "misc", "events": "misc", "help": "misc",
              "git-receive-pack": "gitserve", "git-upload-pack": "gitserve", "git-upload-archive": "gitserve"}  # fmt: skip
#: Topics for root on this machine only: they reach past the apps.
ADMIN_TOPICS = frozenset({"container", "image", "stacks", "ssh-keys", "doctor", "serve"})


@cache
def topics() -> tuple[str, ...]:
    """Return the names of all topics."""
    names = (module.name.replace("_", "-") for module in pkgutil.iter_modules(cli.__path__))
    return tuple(sorted(name for name in names if name not in _PLUMBING))


@cache
def commands_of(topic: str) -> dict[str, click.Command]:
    """Return the commands of a topic by name."""
    module = importlib.import_module(f"paas.cli.{topic.replace('-', '_')}")
    return {str(command.name): command for command in module.COMMANDS}


def all_commands() -> dict[str, click.Command]:
    """Return every command by name; imports all topics."""
    return {name: command for topic in topics() for name, command in commands_of(topic).items()}


class Root(click.Group):
    """Looks commands up by topic and refuses topics that are not for this identity."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all command names."""
        return sorted(all_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command. Raises UsageError with the nearest name, PermissionRefused."""
        topic = cmd_name.partition(":")[0]
        context = ctx.obj
        if topic in ADMIN_TOPICS and isinstance(context, Context) and not context.identity.is_admin:
            raise PermissionRefused(f"{topic} is for administrators", remedy=f"on the machine itself run: sudo paas {cmd_name}")
        module = _ELSEWHERE.get(topic, topic)
        found = commands_of(module).get(cmd_name) if module in topics() else None
        if found is None and module in topics():
            return _topic_help(topic, commands_of(module)) if cmd_name == topic else _unknown(cmd_name)
        return found or _unknown(cmd_name)


def _topic_help(topic: str, commands: dict[str, click.Command]) -> click.Command:
    @click.command(topic)
    @click.pass_obj
    def show(ctx: Context) -> None:
        for name, command in sorted(commands.items()):
            ctx.output.plain(f"    {name:<28} {command.get_short_help_str(90)}")

    return show


def _unknown(name: str) -> click.Command:
    near = difflib.get_close_matches(name, all_commands(), 1)
    error = UsageError(f"`{name}` is not a paas command.", remedy=f"did you mean: paas {near[0]}" if near else "see: paas help")
    error.exit_code = 1
    raise error


root = Root(name="paas", help="git push to deploy on one small server.", context_settings={"help_option_names": ["-h", "--help"]})


def run(argv: Sequence[str], context: Context) -> int:
    """Run one command line in this process; print what goes wrong; return the exit code."""

    def command() -> int:
        words = list(argv) or ["help"]
        if words[0] in ("--version", "-v"):
            words = ["version"]
        if words in (["--help"], ["-h"]):
            words = ["help"]
        result = root.main(words, prog_name="paas", standalone_mode=False, obj=context)
        return result if isinstance(result, int) else 0

    return error_boundary(command, context.output)


def run_in_process(argv: Sequence[str]) -> int:
    """Run one command line with a context of its own: rescue without a server. Returns the exit code."""
    from paas.output import Output

    contexts: list[Context] = []
    code = error_boundary(lambda: contexts.append(make_context()) or 0, Output())
    return run(argv, contexts[0]) if contexts else code
