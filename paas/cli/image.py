"""`image:*` for administrators: what is in the image store, and ways into and out of it."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from paas.cli.common import format_option, print_json
from paas.cli.imagebuild import build
from paas.cli.readable import readable_size, readable_span, table
from paas.context import Context
from paas.deploy.gc import collect, kept_images
from paas.errors import Conflict, InvalidInput
from paas.model.env import parse_assignments
from paas.oci.archives import ArchiveFormat, load_images, save_image
from paas.oci.layout import import_rootfs_tar
from paas.oci.limits import UnpackLimits
from paas.oci.manifest import ImageConfig
from paas.oci.reference import Reference
from paas.oci.registry import pull_image, push_image
from paas.oci.skopeo import Registries
from paas.oci.store import Image, ImageStore

_STREAM = "-"


@click.command("image:list")
@click.option("--quiet", "-q", is_flag=True, help="print ids only")
@format_option
@click.pass_obj
def list_images(ctx: Context, quiet: bool, style: str) -> None:
    """List the images of this machine, newest first."""
    store = ImageStore(ctx.paths.images)
    images = store.images()
    if quiet:
        for image in images:
            ctx.output.plain(image.id)
    elif style == "json":
        print_json(ctx.output, [_described(store, image) for image in images])
    else:
        rows = [
            (reference, image.short_id, f"{readable_span(ctx.now() - image.created_at)} ago", readable_size(_size(store, image)))
            for image in images
            for reference in store.references(image.id) or ("<none>",)
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
        image = store.image(name)
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
@click.pass_obj
def history(ctx: Context, image: str) -> None:
    """Show how an image came to be, the last step first."""
    store = ImageStore(ctx.paths.images)
    found = store.image(image)
    layers = list(reversed(found.layers))
    rows = []
    for entry in reversed(found.config.history):
        layer = layers.pop(0) if layers and not entry.is_empty_layer else ""
        age = f"{readable_span(ctx.now() - entry.created_at)} ago" if entry.created_at else ""
        rows.append((layer[:12], age, readable_size(store.layer_size(layer)) if layer else "0 B", entry.created_by))
    rows += [(layer[:12], "", readable_size(store.layer_size(layer)), "") for layer in layers]
    for line in table(("LAYER", "CREATED", "SIZE", "CREATED BY"), rows):
        ctx.output.plain(line)


@click.command("image:prune")
@click.option("--cache", "with_cache", is_flag=True, help="drop the whole step cache of builds, whatever its size")
@click.pass_obj
def prune(ctx: Context, with_cache: bool) -> None:
    """Remove images that nothing needs, their layers, and of the step cache what is more than build-cache-mb."""
    for image_id in collect(ctx):
        ctx.output.plain(f"Removed: {image_id}")
    if with_cache:
        store = ImageStore(ctx.paths.images)
        store.prune(keep=[image.id for image in store.images()], grace_s=0, cache_bytes=0, cache_grace_s=0)


@click.command("image:import")
@click.argument("tar", metavar="FILE|-")
@click.argument("reference", default="")
@click.option("--env", "env", multiple=True, metavar="KEY=VALUE")
@click.option("--entrypoint", multiple=True, metavar="ARGUMENT", help="once for each argument")
@click.option("--cmd", multiple=True, metavar="ARGUMENT", help="once for each argument")
@click.option("--workdir", default="")
@click.option("--user", default="")
@click.option("--expose", multiple=True, metavar="PORT[/PROTOCOL]")
@click.pass_obj
def import_rootfs(
    ctx: Context, tar: str, reference: str, env: Sequence[str], entrypoint: Sequence[str], cmd: Sequence[str],
    workdir: str, user: str, expose: Sequence[str],
) -> None:  # fmt: skip
    """Make an image of a root file system in a tar (plain or compressed)."""
    config = ImageConfig(
        env=tuple(parse_assignments(env).items()),
        entrypoint=tuple(entrypoint),
        cmd=tuple(cmd),
        workdir=workdir,
        user=user,
        exposed_ports=tuple(port if "/" in port else f"{port}/tcp" for port in expose),
    )
    with _input_file(tar, ctx.paths.work) as file:
        image = import_rootfs_tar(
            ImageStore(ctx.paths.images), file, reference=reference, config=config, limits=UnpackLimits.of(ctx.settings)
        )
    ctx.output.plain(image.id)


@click.command("image:load")
@click.argument("archive", metavar="FILE|-")
@click.pass_obj
def load(ctx: Context, archive: str) -> None:
    """Take the images of a `docker save` archive or an OCI archive."""
    store = ImageStore(ctx.paths.images)
    with _input_file(archive, ctx.paths.work) as file:
        for image in load_images(store, file, registries=_registries(ctx), on_line=ctx.output.detail):
            ctx.output.plain(f"Loaded: {', '.join(store.references(image.id)) or image.id}")


@click.command("image:save")
@click.argument("image")
@click.argument("archive", metavar="FILE|-")
@click.option("--format", "kind", type=click.Choice([str(k) for k in ArchiveFormat]), default=str(ArchiveFormat.DOCKER))
@click.pass_obj
def save(ctx: Context, image: str, archive: str, kind: str) -> None:
    """Write an image as an archive that `docker load` reads."""
    store = ImageStore(ctx.paths.images)
    if archive != _STREAM:
        save_image(store, image, Path(archive), kind=ArchiveFormat(kind), on_line=ctx.output.detail)
        return
    if sys.stdout.isatty():
        raise InvalidInput("An archive is not written to a terminal", remedy=f"paas image:save {image} image.tar")
    with _scratch_file(ctx.paths.work) as file:
        save_image(store, image, file, kind=ArchiveFormat(kind))
        with file.open("rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer)


@click.command("image:pull")
@click.argument("reference")
@click.pass_obj
def pull(ctx: Context, reference: str) -> None:
    """Fetch an image from its registry."""
    image = pull_image(ImageStore(ctx.paths.images), reference, registries=_registries(ctx), on_line=ctx.output.detail)
    ctx.output.plain(image.id)


@click.command("image:push")
@click.argument("image")
@click.argument("reference", default="")
@click.pass_obj
def push(ctx: Context, image: str, reference: str) -> None:
    """Send an image to a registry, by default under its own name."""
    store = ImageStore(ctx.paths.images)
    push_image(store, image, reference or image, registries=_registries(ctx), on_line=ctx.output.detail)


def _registries(ctx: Context) -> Registries:
    return Registries.of(ctx.paths, ctx.settings)


def _described(store: ImageStore, image: Image) -> dict[str, object]:
    return {
        "id": image.id,
        "references": store.references(image.id),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(image.created_at)),
        "size": _size(store, image),
        "layers": [{"id": i, "size": store.layer_size(i), "path": str(store.layer_dir(i))} for i in image.layers],
        **image.config.to_oci(),
    }


def _size(store: ImageStore, image: Image) -> int:
    return sum(store.layer_size(layer) for layer in image.layers)


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


@contextlib.contextmanager
def _input_file(name: str, work: Path) -> Iterator[Path]:
    """Give the file called `name`, or one with what stands on standard input."""
    if name != _STREAM:
        yield Path(name)
        return
    with _scratch_file(work) as file:
        with file.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        yield file


@contextlib.contextmanager
def _scratch_file(work: Path) -> Iterator[Path]:
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as directory:
        yield Path(directory) / "archive"


COMMANDS: tuple[click.Command, ...] = (
    list_images, build, tag, remove, inspect, history, prune, import_rootfs, load, save, pull, push,
)  # fmt: skip
