"""Dispatch of `topic:verb`: each topic is a module of this package with `COMMANDS`; only the one asked for is imported."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from functools import cache

import click

from paas import cli
from paas.cli.common import error_boundary, print_times
from paas.cli.words import parse_words
from paas.context import Context, make_context
from paas.errors import PermissionRefused, UsageError
from paas.output import Output
from paas.timing import is_asked_for

#: Modules of this package that hold no commands.
_PLUMBING = frozenset({
    "allapps", "buildwords", "client", "common", "imagebuild", "imagefiles", "main", "root", "properties", "readable", "words",
})  # fmt: skip
#: Modules whose commands belong to no topic of the module's name.
_TOPICLESS = {
    "misc": ("help", "version", "url", "urls", "events"),
    "gitserve": ("git-receive-pack", "git-upload-pack", "git-upload-archive"),
}
_MODULE_OF = {name: module for module, names in _TOPICLESS.items() for name in names}
#: Topics for root on this machine only: they reach past the apps.
ADMIN_TOPICS = frozenset({"container", "image", "stacks", "ssh-keys", "doctor", "serve"})


@cache
def modules() -> tuple[str, ...]:
    """Return the names of all modules with commands, as topics are written."""
    names = (module.name.replace("_", "-") for module in pkgutil.iter_modules(cli.__path__))
    return tuple(sorted(name for name in names if name not in _PLUMBING))


def topics() -> tuple[str, ...]:
    """Return the names of all topics."""
    return tuple(name for name in modules() if name not in _TOPICLESS)


@cache
def commands_of(module: str) -> dict[str, click.Command]:
    """Return the commands of a topic, or of a module without one, by name."""
    found = importlib.import_module(f"paas.cli.{module.replace('-', '_')}")
    return {str(command.name): command for command in found.COMMANDS}


@cache
def all_commands() -> dict[str, click.Command]:
    """Return every command by name; imports all topics."""
    return {name: command for module in modules() for name, command in commands_of(module).items()}


def visible_commands(topic: str, *, is_admin: bool) -> dict[str, click.Command]:
    """Return the commands to show for a topic ('' for all) to an administrator or another user, by name."""
    found = all_commands() if not topic else commands_of(topic)
    return {
        name: command
        for name, command in sorted(found.items())
        if not command.hidden and (is_admin or name.partition(":")[0] not in ADMIN_TOPICS)
    }


class Root(click.Group):
    """Looks commands up by topic and refuses topics that are not for this identity."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all command names."""
        return sorted(all_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command. Raises UsageError with the nearest name, PermissionRefused."""
        topic, _, verb = cmd_name.partition(":")
        if topic in ADMIN_TOPICS and isinstance(ctx.obj, Context) and not ctx.obj.identity.is_admin:
            raise PermissionRefused(f"{topic} is for administrators", remedy=f"on the machine itself run: sudo paas {cmd_name}")
        module = _MODULE_OF.get(cmd_name, topic)
        command = commands_of(module).get(cmd_name) if module in modules() else None
        if command is not None:
            return command
        if topic in topics() and verb in ("", "help"):
            return _topic_help(topic)
        raise unknown_command(cmd_name)


def unknown_command(name: str) -> UsageError:
    """Return the error for a command that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, visible_commands("", is_admin=True), 1)
    error = UsageError(f"`{name}` is not a paas command.", remedy=f"did you mean: paas {near[0]}" if near else "see: paas help")
    error.exit_code = 1  # as Dokku
    return error


def _topic_help(topic: str) -> click.Command:
    @click.command(topic, help=f"Show the commands of {topic}.")
    @click.pass_obj
    def show(ctx: Context) -> None:
        for name, command in visible_commands(topic, is_admin=ctx.identity.is_admin).items():
            ctx.output.plain(f"    {name:<28} {command.get_short_help_str(90)}")

    return show


root = Root(name="paas", help="git push to deploy on one small server.", context_settings={"help_option_names": ["-h", "--help"]})


def run(argv: Sequence[str], context: Context) -> int:
    """Run one command line in this process; print what goes wrong; return the exit code."""

    began, timing = time.monotonic(), context.output.timing

    def command() -> int:
        words = parse_words(argv)
        if words.is_traced:
            os.environ["PAAS_TRACE"] = "1"
        obj = context.with_output(Output(quiet=True, timing=timing)) if words.is_quiet else context
        if is_asked_for():
            timing.begin(since=began)
        result = root.main(list(words.argv), prog_name="paas", standalone_mode=False, obj=obj)
        return result if isinstance(result, int) else 0

    code = error_boundary(command, context.output)
    print_times(timing)
    return code


def run_in_process(argv: Sequence[str]) -> int:
    """Run one command line with a context of its own: rescue without a server. Returns the exit code."""
    code = error_boundary(lambda: run(argv, make_context()), Output())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads any more; the interpreter would complain about what is left in the buffer
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code
