"""`git:*`: the hook of a push, and the properties of an app's repository."""

from __future__ import annotations

import os
import sys

import click

from paas.cli.properties import properties_report, set_command
from paas.context import Context
from paas.deploy.receive import receive
from paas.host.git import QUARANTINE
from paas.model.source import RefUpdate


@click.command("git:hook", hidden=True)
@click.argument("app")
@click.pass_obj
def hook(ctx: Context, app: str) -> None:
    """Deploy what a push brings; run by the repository's pre-receive hook."""
    updates = [RefUpdate(old=old, new=new, ref=ref, actor=ctx.identity.name) for old, new, ref in map(str.split, sys.stdin)]
    receive(ctx, app, updates, git_env={name: os.environ[name] for name in QUARANTINE if name in os.environ})


COMMANDS: tuple[click.Command, ...] = (hook, set_command("git"), properties_report("git"))
