"""`stacks:*` for administrators: the base images that are made of the distribution's packages."""

from __future__ import annotations

import click

from paas.cli.readable import readable_size, table
from paas.context import Context
from paas.host.files import flock
from paas.oci.bootstrap import build_stack
from paas.oci.stacks import find_stack, read_stacks
from paas.oci.store import ImageStore


@click.command("stacks:list")
@click.pass_obj
def list_stacks(ctx: Context) -> None:
    """List the stacks that are defined, and which of them have been built."""
    store = ImageStore(ctx.paths.images)
    rows = []
    for stack in read_stacks(ctx.paths.share / "buildpacks" / "stacks"):
        image = store.find_image(stack.reference)
        size = readable_size(sum(map(store.layer_size, image.layers))) if image else ""
        default = "*" if stack.name == ctx.settings.stack else ""
        distribution = f"{stack.distribution} {stack.version} ({stack.suite})"
        rows.append((default + stack.name, distribution, "yes" if image else "no", size))
    for line in table(("STACK", "DISTRIBUTION", "BUILT", "SIZE"), rows):
        ctx.output.plain(line)


@click.command("stacks:build")
@click.argument("name", default="")
@click.pass_obj
def build(ctx: Context, name: str) -> None:
    """Build a stack from packages, by default the one of the settings; about a minute. Again: with today's packages."""
    stack = find_stack(ctx.paths.share / "buildpacks" / "stacks", name or ctx.settings.stack)
    store = ImageStore(ctx.paths.images)

    def wait(_: object) -> None:
        ctx.output.step(f"Waiting for another build of {stack.name}")

    with flock(ctx.paths.locks / f"stack-{stack.name}", what="stacks:build", on_wait=wait):
        images = build_stack(store, stack, on_step=ctx.output.step, on_line=ctx.output.detail)
    for image in images:
        size = readable_size(sum(map(store.layer_size, image.layers)))
        ctx.output.milestone(f"{', '.join(store.references(image.id))}: {size}")


COMMANDS: tuple[click.Command, ...] = (list_stacks, build)
