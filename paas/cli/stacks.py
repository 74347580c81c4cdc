"""`stacks:*` for administrators: the base images that are made of the distribution's packages."""

from __future__ import annotations

import click

from paas.cli.common import format_option, print_json
from paas.cli.readable import readable_size, table
from paas.context import Context
from paas.host.files import flock
from paas.oci.bootstrap import build_stack
from paas.oci.stacks import Stack, find_stack, read_stacks
from paas.oci.store import ImageStore


@click.command("stacks:list")
@format_option
@click.pass_obj
def list_stacks(ctx: Context, style: str) -> None:
    """List the stacks that are defined, and which of them have been built."""
    store = ImageStore(ctx.paths.images)
    found = [_described(ctx, store, stack) for stack in read_stacks(ctx.paths.share / "buildpacks" / "stacks")]
    if style == "json":
        print_json(ctx.output, found)
        return
    rows = [
        (f"{'*' if one['default'] else ''}{one['name']}", str(one["distribution"]), "yes" if one["built"] else "no",
         readable_size(int(str(one["size-bytes"]))) if one["built"] else "")
        for one in found
    ]  # fmt: skip
    for line in table(("STACK", "DISTRIBUTION", "BUILT", "SIZE"), rows):
        ctx.output.plain(line)


def _described(ctx: Context, store: ImageStore, stack: Stack) -> dict[str, object]:
    image = store.find_image(stack.reference)
    return {
        "name": stack.name, "distribution": f"{stack.distribution} {stack.version} ({stack.suite})",
        "default": stack.name == ctx.settings.stack, "built": image is not None,
        "size-bytes": sum(map(store.layer_size, image.layers)) if image else None,
    }  # fmt: skip


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
