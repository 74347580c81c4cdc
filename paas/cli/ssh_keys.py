"""`ssh-keys:*` for administrators: who may push and run commands over SSH."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from paas.cli.common import format_option, print_json
from paas.context import Context
from paas.deploy import keys
from paas.errors import NotFound, UsageError


@click.command("ssh-keys:add")
@click.argument("name")
@click.argument("file", default="", metavar="[FILE]")
@click.pass_obj
def add(ctx: Context, name: str, file: str) -> None:
    """Let a public key in, read from stdin or from a file."""
    if file:
        path = Path(file)
        if not path.is_file():
            raise NotFound(f"There is no file {file}", remedy=f"e.g. cat ~/.ssh/id_ed25519.pub | paas ssh-keys:add {name}")
        text = path.read_text(errors="replace")
    elif sys.stdin.isatty():
        raise UsageError("The public key is read from stdin", remedy=f"cat ~/.ssh/id_ed25519.pub | paas ssh-keys:add {name}")
    else:
        text = sys.stdin.read(64 * 1024)
    ctx.output.plain(keys.add_key(ctx, name, text).fingerprint)


@click.command("ssh-keys:list")
@format_option
@click.pass_obj
def list_keys(ctx: Context, style: str) -> None:
    """List the keys with the names their owners act under."""
    found = ctx.state.access.keys()
    if style == "json":
        print_json(ctx.output, [{"name": k.name, "fingerprint": k.fingerprint, "added-at": k.added_at} for k in found])
        return
    for key in found:
        ctx.output.plain(f"{key.fingerprint} NAME=\"{key.name}\" ADDED={time.strftime('%Y-%m-%d', time.localtime(key.added_at))}")


@click.command("ssh-keys:remove")
@click.argument("name")
@click.pass_obj
def remove(ctx: Context, name: str) -> None:
    """Let a key in no longer."""
    keys.remove_key(ctx, name)


COMMANDS: tuple[click.Command, ...] = (add, list_keys, remove)
