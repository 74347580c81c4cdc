"""`container:volumes` and its verbs: named volumes, which outlive the containers that use them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from paas.cli.common import format_option, print_json
from paas.cli.readable import table
from paas.context import Context


@click.command("container:volumes")
@format_option
@click.pass_obj
def list_volumes(ctx: Context, style: str) -> None:
    """List named volumes and who uses them."""
    found = ctx.engine.volumes()
    if style == "json":
        print_json(ctx.output, [{"name": name, "containers": list(users)} for name, users in found.items()])
        return
    for line in table(("VOLUME", "CONTAINERS"), [(name, ", ".join(users)) for name, users in found.items()]):
        ctx.output.plain(line)


@click.command("container:volume-create")
@click.argument("name")
@click.pass_obj
def create_volume(ctx: Context, name: str) -> None:
    """Make a named volume; container:run makes one by itself, too."""
    ctx.engine.create_volume(name)
    ctx.output.plain(name)


@click.command("container:volume-rm")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def remove_volume(ctx: Context, names: Sequence[str]) -> None:
    """Remove named volumes that no container uses, with what they hold."""
    for name in names:
        ctx.engine.remove_volume(name)
        ctx.output.plain(name)
