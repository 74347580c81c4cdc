"""`dockerfile:*`: the short name of `builder-dockerfile:*`."""

from __future__ import annotations

import click

from paas.cli.builder_dockerfile import SET
from paas.cli.common import report_command
from paas.cli.properties import report_of

_FULL_NAMES = {"path": "dockerfile-path"}


@click.command("dockerfile:set")
@click.argument("words", nargs=-1, required=True, metavar="<app>|--global KEY [VALUE]")
@click.option("--global", "is_global", is_flag=True, help="for all apps")
@click.pass_context
def set_property(ctx: click.Context, words: tuple[str, ...], is_global: bool) -> None:
    """Say how Dockerfiles are built: path, target, build-args, labels; without a value it is cleared."""
    at = 0 if is_global else 1
    full = tuple(_FULL_NAMES.get(word, word) if place == at else word for place, word in enumerate(words))
    ctx.invoke(SET, words=full, is_global=is_global)


COMMANDS: tuple[click.Command, ...] = (
    set_property,
    report_command(
        "dockerfile", "Show how the app's Dockerfile is built.", lambda ctx, app: report_of(ctx, "builder-dockerfile", app)
    ),
)  # fmt: skip
