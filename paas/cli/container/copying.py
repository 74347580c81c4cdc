"""`container:cp`: files of a container to this machine and back."""

from __future__ import annotations

import click

from paas.cli.readable import readable_size
from paas.context import Context
from paas.errors import InvalidInput
from paas.model.placement import split_place


@click.command("container:cp")
@click.option("-a", "--archive", "keeps_owners", is_flag=True, help="keep uid and gid; else root's, in the container and here")
@click.option("-L", "--follow-link", "follows_link", is_flag=True, help="if the source is a link, copy what it leads to")
@click.option("-q", "--quiet", is_flag=True, help="do not say what was copied")
@click.argument("source", metavar="[CONTAINER:]SOURCE|-")
@click.argument("destination", metavar="[CONTAINER:]DESTINATION|-")
@click.pass_obj
def copy(ctx: Context, keeps_owners: bool, follows_link: bool, quiet: bool, source: str, destination: str) -> None:
    """Copy files between a container and this machine; - is a tar on stdin or stdout."""
    (giver, from_path), (taker, to_path) = split_place(source), split_place(destination)
    if bool(giver) is bool(taker):
        problem = "Copying between containers is not possible" if giver else "Neither path is a container's"
        raise InvalidInput(problem, remedy="paas container:cp CONTAINER:SOURCE DESTINATION, or the other way round")
    if taker:
        given = 0 if from_path == "-" else from_path
        copied = ctx.engine.copy_in(taker, given, to_path, follows_link=follows_link, keeps_owners=keeps_owners)
    else:
        wanted = 1 if to_path == "-" else to_path
        copied = ctx.engine.copy_out(giver, from_path, wanted, follows_link=follows_link, keeps_owners=keeps_owners)
    if not quiet and destination != "-":
        ctx.output.plain(f"Copied {readable_size(copied)} to {destination}")
