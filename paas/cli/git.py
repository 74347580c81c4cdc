"""`git:*`: the hook of a push, and the properties of an app's repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import click

from paas.cli.common import CANCEL_ON_DISCONNECT, cancel_on_disconnect, print_error
from paas.cli.properties import properties_report, set_command
from paas.context import Context
from paas.deploy.receive import receive
from paas.errors import InvalidInput, PaasError
from paas.host.pktline import FLUSH, packet, packets_until_flush
from paas.model.source import RefUpdate
from paas.output import Output

#: A feature of the hook's protocol (githooks(5), proc-receive).
PUSH_OPTIONS = "push-options"


@click.command("git:hook", hidden=True)
@click.argument("app")
@click.pass_obj
def hook(ctx: Context, app: str) -> None:
    """Deploy what a push brings; run by the repository's proc-receive hook, whose stdout belongs to git."""
    stream, git = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    ours = ctx.with_output(Output(sys.stderr, sys.stderr))
    updates, options = hear(stream, git, actor=ctx.identity.name)
    git.write(b"".join(packet(line) for line in answers(ours, app, updates, options)) + FLUSH)
    git.flush()


def hear(stream: BinaryIO, git: BinaryIO, *, actor: str) -> tuple[tuple[RefUpdate, ...], tuple[str, ...]]:
    """Agree with git on the protocol's version and features; return the pushed branches and the push options."""
    offered = "".join(packets_until_flush(stream)).partition("\0")[2].split()
    feature = PUSH_OPTIONS if PUSH_OPTIONS in offered else ""
    git.write(packet(f"version=1\0{feature}\n" if feature else "version=1\n") + FLUSH)
    git.flush()
    commands = [line.split(" ", 2) for line in packets_until_flush(stream)]
    options = tuple(packets_until_flush(stream)) if feature else ()
    return tuple(RefUpdate(old=old, new=new, ref=ref, actor=actor) for old, new, ref in commands), options


def answers(ctx: Context, app: str, updates: Sequence[RefUpdate], options: Sequence[str] = ()) -> Iterator[str]:
    """Yield git's answer lines: ok for what was deployed and moved, fall-through for what git shall move, ng for a failure."""
    try:
        _mind_options(options)
        moved = receive(ctx, app, updates)
    except PaasError as exc:
        print_error(exc, ctx.output)
        for update in updates:
            yield f"ng {update.ref} {exc.message.splitlines()[0]}"
        return
    for update in updates:
        yield f"ok {update.ref}"
        if update is not moved:
            yield "option fall-through"


def _mind_options(options: Sequence[str]) -> None:
    """Do what `git push -o` asks for. Raises InvalidInput."""
    for option in options:
        if option != CANCEL_ON_DISCONNECT:
            raise InvalidInput(f"There is no push option '{option}'", remedy=f"there is: git push -o {CANCEL_ON_DISCONNECT}")
        cancel_on_disconnect()


COMMANDS: tuple[click.Command, ...] = (hook, set_command("git"), properties_report("git"))
