"""`image:import|export|load|save|pull|push`: images between the store, files and registries."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from paas.context import Context
from paas.errors import InvalidInput, NotFound
from paas.model.env import parse_assignments
from paas.oci.archives import ArchiveFormat, load_images, put_in_place, save_image
from paas.oci.flatten import write_rootfs
from paas.oci.layout import import_rootfs_tar
from paas.oci.limits import UnpackLimits
from paas.oci.manifest import ImageConfig
from paas.oci.registry import pull_image, push_image
from paas.oci.skopeo import Registries, ignore_line
from paas.oci.store import ImageStore

_STREAM = "-"

epoch_option = click.option(
    "--source-date-epoch", "newest", type=click.FloatRange(min=0), envvar="SOURCE_DATE_EPOCH", metavar="SECONDS",
    help="no time in the image is later; the same content then has the same digest",
)  # fmt: skip


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
@epoch_option
@click.pass_obj
def save(ctx: Context, image: str, archive: str, kind: str, newest: float | None) -> None:
    """Write an image as an archive that `docker load` reads."""
    store, on_line = ImageStore(ctx.paths.images), ctx.output.detail if archive != _STREAM else ignore_line
    with _output_file(archive, ctx.paths.work, f"paas image:save {image} image.tar") as file:
        save_image(
            store, image, file, kind=ArchiveFormat(kind), registries=_registries(ctx), on_line=on_line, newest=newest
        )  # fmt: skip


@click.command("image:export")
@click.argument("image")
@click.argument("tar", metavar="FILE|-")
@click.pass_obj
def export(ctx: Context, image: str, tar: str) -> None:
    """Write an image's root file system, all layers as one, as a tar; `image:import` reads it."""
    store = ImageStore(ctx.paths.images)
    found = store.image(image)
    with _output_file(tar, ctx.paths.work, f"paas image:export {image} rootfs.tar") as file, file.open("wb") as stream:
        write_rootfs([store.layer_dir(layer) for layer in found.layers], stream)


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
@epoch_option
@click.pass_obj
def push(ctx: Context, image: str, reference: str, newest: float | None) -> None:
    """Send an image to a registry, by default under its own name."""
    store = ImageStore(ctx.paths.images)
    push_image(store, image, reference or image, registries=_registries(ctx), on_line=ctx.output.detail, newest=newest)


def _registries(ctx: Context) -> Registries:
    return Registries.of(ctx.paths, ctx.settings)


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


@contextlib.contextmanager
def _output_file(name: str, work: Path, remedy: str) -> Iterator[Path]:
    """Give a file to write, which becomes the one called `name`, or goes to standard output, when all is written."""
    if name == _STREAM and sys.stdout.isatty():
        raise InvalidInput("An archive is not written to a terminal", remedy=remedy)
    if name != _STREAM and Path(name).is_dir():
        raise InvalidInput(f"{name} is a directory", remedy=remedy)
    if name != _STREAM and not Path(name).parent.is_dir():
        raise NotFound(f"There is no directory {Path(name).parent}", remedy=f"make it: mkdir -p {Path(name).parent}")
    with _scratch_file(work) as file:
        yield file
        if name != _STREAM:
            put_in_place(file, Path(name))
            return
        with file.open("rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer)


TRANSFERS: tuple[click.Command, ...] = (import_rootfs, export, load, save, pull, push)
