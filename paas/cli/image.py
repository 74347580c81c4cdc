"""`image:*` for administrators: what is in the image store. Ways into and out of it: imagefiles.py, imagebuild.py."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from paas.cli.common import format_option, print_json
from paas.cli.imagebuild import build
from paas.cli.imagefiles import TRANSFERS
from paas.cli.readable import readable_size, readable_span, table
from paas.context import Context
from paas.deploy.gc import collect, kept_images, prune_mounted_caches
from paas.errors import Conflict, HostProblem
from paas.oci.listing import ImageSummary
from paas.oci.manifest import HistoryEntry
from paas.oci.reference import Reference
from paas.oci.store import Image, ImageStore
from paas.oci.verify import problems_of


@click.command("image:list")
@click.option("--quiet", "-q", is_flag=True, help="print ids only")
@format_option
@click.pass_obj
def list_images(ctx: Context, quiet: bool, style: str) -> None:
    """List the images of this machine, newest first."""
    images = ImageStore(ctx.paths.images).summaries()
    if quiet:
        for image in images:
            ctx.output.plain(image.id)
    elif style == "json":
        print_json(ctx.output, [_summarised(image) for image in images])
    else:
        rows = [
            (reference, image.short_id, f"{readable_span(ctx.now() - image.created_at)} ago", readable_size(image.size))
            for image in images
            for reference in image.references or ("<none>",)
        ]
        for line in table(("REFERENCE", "IMAGE ID", "CREATED", "SIZE"), rows):
            ctx.output.plain(line)


@click.command("image:tag")
@click.argument("image")
@click.argument("reference")
@click.pass_obj
def tag(ctx: Context, image: str, reference: str) -> None:
    """Give an image one more reference."""
    ImageStore(ctx.paths.images).tag(image, reference)


@click.command("image:rm")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.pass_obj
def remove(ctx: Context, images: Sequence[str]) -> None:
    """Remove images; one with several references only loses the one that is given."""
    store = ImageStore(ctx.paths.images)
    for name in images:
        image = store.find_image(name)
        if image is None:  # or its record is damaged
            store.remove(name)
            ctx.output.plain(f"Removed: {name}")
            continue
        references = store.references(image.id)
        if len(references) > 1 and not image.id.startswith(name.removeprefix("sha256:")):
            store.untag(name)
            ctx.output.plain(f"Untagged: {Reference.parse(name).familiar}")
        else:
            _refuse_used(ctx, image)
            store.remove(image.id)
            ctx.output.plain(f"Removed: {image.id}")
    store.prune(keep=[image.id for image in store.images()])


@click.command("image:inspect")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.pass_obj
def inspect(ctx: Context, images: Sequence[str]) -> None:
    """Print all about images as JSON."""
    store = ImageStore(ctx.paths.images)
    print_json(ctx.output, [_described(store, store.image(name)) for name in images])


@click.command("image:history")
@click.argument("image")
@format_option
@click.pass_obj
def history(ctx: Context, image: str, style: str) -> None:
    """Show how an image came to be, the last step first."""
    store = ImageStore(ctx.paths.images)
    steps = _steps(store, store.image(image))
    if style == "json":
        print_json(ctx.output, [{**step, "created": _date(float(str(step["created"])))} for step in steps])
        return
    rows = [
        (
            str(step["layer"])[:12],
            f"{readable_span(ctx.now() - float(str(step['created'])))} ago" if step["created"] else "",
            readable_size(int(str(step["size"]))),
            str(step["created_by"]),
        )
        for step in steps
    ]
    for line in table(("LAYER", "CREATED", "SIZE", "CREATED BY"), rows):
        ctx.output.plain(line)


def _steps(store: ImageStore, image: Image) -> list[dict[str, object]]:
    """Return the history's steps, the last first, each with the layer that it made, if it made one."""
    layers = list(reversed(image.layers))
    made = [(e, layers.pop(0) if layers and not e.is_empty_layer else "") for e in reversed(image.config.history)]
    made += [(HistoryEntry(), layer) for layer in layers]
    return [
        {
            "layer": layer, "created": entry.created_at, "size": store.layer_size(layer) if layer else 0,
            "created_by": entry.created_by, "comment": entry.comment,
        }
        for entry, layer in made
    ]  # fmt: skip


@click.command("image:prune")
@click.option("--cache", "with_cache", is_flag=True, help="drop all that builds keep for later ones, whatever its size")
@format_option
@click.pass_obj
def prune(ctx: Context, with_cache: bool, style: str) -> None:
    """Remove images that nothing needs, their layers, and of the step cache what is more than build-cache-mb."""
    removed = collect(ctx)
    if with_cache:
        store = ImageStore(ctx.paths.images)
        store.prune(keep=store.image_ids(), grace_s=0, cache_bytes=0, cache_grace_s=0)
        prune_mounted_caches(ctx, max_bytes=0)
    if style == "json":
        print_json(ctx.output, {"removed": removed})
        return
    for image_id in removed:
        ctx.output.plain(f"Removed: {image_id}")


@click.command("image:verify")
@click.argument("images", nargs=-1, metavar="[IMAGE...]")
@format_option
@click.pass_obj
def verify(ctx: Context, images: Sequence[str], style: str) -> None:
    """Check that images (all unless some are named) are whole, and their files what they were."""
    store = ImageStore(ctx.paths.images)
    ids = [store.image(name).id for name in images] or store.image_ids()
    found = {image_id: _problems(store, image_id) for image_id in ids}
    damaged = [image_id for image_id, problems in found.items() if problems]
    if style == "json":
        print_json(ctx.output, [{"id": image_id, "problems": problems} for image_id, problems in found.items()])
    else:
        for image_id, problems in found.items():
            name = " ".join(store.references(image_id)) or "<none>"
            ctx.output.plain(f"{'DAMAGED' if problems else 'ok':<8} {image_id[:12]}  {name}")
            for problem in problems:
                ctx.output.plain(f"{'':<22} {problem}")
    if damaged:
        count = f"{len(damaged)} image{'s are' if len(damaged) > 1 else ' is'} damaged"
        raise HostProblem(count, remedy="remove and pull, load or build again: paas image:rm " + damaged[0][:12])


def _problems(store: ImageStore, image_id: str) -> tuple[str, ...]:
    image = store.find_image(image_id)
    return problems_of(store, image) if image is not None else ("its record cannot be read",)


def _summarised(image: ImageSummary) -> dict[str, object]:
    return {
        "id": image.id, "references": image.references, "created": _date(image.created_at), "size": image.size,
        "layers": image.layers,
    }  # fmt: skip


def _described(store: ImageStore, image: Image) -> dict[str, object]:
    return {
        "id": image.id,
        "references": store.references(image.id),
        "created": _date(image.created_at),
        "size": sum(store.layer_size(layer) for layer in image.layers),
        "layers": [{"id": i, "size": store.layer_size(i), "path": str(store.layer_dir(i))} for i in image.layers],
        **{key: value for key, value in image.config.to_oci().items() if key != "created"},
    }


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) if at else ""


def _refuse_used(ctx: Context, image: Image) -> None:
    for container in ctx.engine.list():
        if container.image in (image.id, *ImageStore(ctx.paths.images).references(image.id)):
            raise Conflict(
                f"Image {image.short_id} is used by container {container.name or container.id}",
                remedy=f"remove it first: paas container:rm {container.id}",
            )
    if image.id in kept_images(ctx):
        raise Conflict(
            f"Image {image.short_id} belongs to a release that may be rolled back to",
            remedy="it goes by itself when newer releases push it out (setting releases-keep)",
        )


COMMANDS: tuple[click.Command, ...] = (
    list_images, build, tag, remove, inspect, history, prune, verify, *TRANSFERS,
)  # fmt: skip
