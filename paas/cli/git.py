"""`git:*`: the hook of a push, and the properties of an app's repository."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import click

from paas.cli.common import CANCEL_ON_DISCONNECT, cancel_on_disconnect, print_error
from paas.cli.gitserve import RECEIVING_SINCE
from paas.cli.properties import properties_report, set_command
from paas.context import Context
from paas.deploy.receive import receive
from paas.errors import InvalidInput, PaasError
from paas.host.pktline import FLUSH, packet, packets_until_flush
from paas.model.source import RefUpdate
from paas.output import Output
from paas.timing import Timing

#: A feature of the hook's protocol (githooks(5), proc-receive).
PUSH_OPTIONS = "push-options"
#: A push option: tell where the time went.
TRACE = "trace"


@click.command("git:hook", hidden=True)
@click.argument("app")
@click.pass_obj
def hook(ctx: Context, app: str) -> None:
    """Deploy what a push brings; run by the repository's proc-receive hook, whose stdout belongs to git."""
    stream, git = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    timing = ctx.output.timing
    if timing.is_on:
        begin_timing(timing)
    ours = ctx.with_output(Output(sys.stderr, sys.stderr, timing=timing))
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
        _mind_options(ctx, options)
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


def begin_timing(timing: Timing) -> None:
    """Measure from the moment at which git began to receive the push."""
    now = time.monotonic()
    with contextlib.suppress(ValueError):
        since = float(os.environ.get(RECEIVING_SINCE, ""))
        if 0 <= now - since < math.inf:
            timing.begin(since=since)
            timing.passed("receive", since)
            return
    timing.begin()


def _mind_options(ctx: Context, options: Sequence[str]) -> None:
    """Do what `git push -o` asks for. Raises InvalidInput."""
    known: dict[str, Callable[[], None]] = {
        CANCEL_ON_DISCONNECT: cancel_on_disconnect, TRACE: lambda: begin_timing(ctx.output.timing)
    }  # fmt: skip
    for option in options:
        if option not in known:
            there_are = ", ".join(f"git push -o {name}" for name in known)
            raise InvalidInput(f"There is no push option '{option}'", remedy=f"there are: {there_are}")
        known[option]()


COMMANDS: tuple[click.Command, ...] = (hook, set_command("git"), properties_report("git"))
