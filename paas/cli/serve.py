"""`paas serve`: the server, in the foreground or detached, and its end. Never run by the server itself."""

from __future__ import annotations

import click

from paas import plugins
from paas.context import Context
from paas.errors import PermissionRefused, UsageError


@click.command("serve")
@click.option("--detach", is_flag=True, help="return when the server is ready; for hosts without systemd")
@click.option("--stop", is_flag=True, help="stop the running server; containers go on")
@click.pass_obj
def serve(ctx: Context, detach: bool, stop: bool) -> None:
    """Run the server: SSH, commands, and whatever keeps apps up."""
    if not ctx.identity.is_admin:
        raise PermissionRefused("Only root may run the server", remedy="run: sudo paas serve")
    if detach and stop:
        raise UsageError("--detach and --stop exclude each other")
    name = "stop" if stop else "serve-detached" if detach else "serve"
    plugins.load("commands", name)(ctx)


COMMANDS: tuple[click.Command, ...] = (serve,)
