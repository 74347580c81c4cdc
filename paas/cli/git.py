"""`git:*`: the hook of a push, and the properties of an app's repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

import click

from paas.cli.common import print_error
from paas.cli.properties import properties_report, set_command
from paas.context import Context
from paas.deploy.receive import receive
from paas.errors import PaasError
from paas.host.pktline import FLUSH, packet, packets_until_flush
from paas.model.source import RefUpdate
from paas.output import Output


@click.command("git:hook", hidden=True)
@click.argument("app")
@click.pass_obj
def hook(ctx: Context, app: str) -> None:
    """Deploy what a push brings; run by the repository's proc-receive hook, whose stdout belongs to git."""
    stream, git = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    list(packets_until_flush(stream))  # its version and features: the first version has all that is needed
    git.write(packet("version=1\n") + FLUSH)
    git.flush()
    updates = [
        RefUpdate(old=old, new=new, ref=ref, actor=ctx.identity.name)
        for old, new, ref in (line.split(" ", 2) for line in packets_until_flush(stream))
    ]
    git.write(b"".join(packet(line) for line in answers(ctx.with_output(Output(sys.stderr, sys.stderr)), app, updates)) + FLUSH)
    git.flush()


def answers(ctx: Context, app: str, updates: Sequence[RefUpdate]) -> Iterator[str]:
    """Yield git's answer lines: ok for what was deployed and moved, fall-through for what git shall move, ng for a failure."""
    try:
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


COMMANDS: tuple[click.Command, ...] = (hook, set_command("git"), properties_report("git"))
