"""`image:build`: docker build's options, for administrators on this machine. The other commands on images are in image.py."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paas.cli import buildwords
from paas.cli.buildwords import STREAM, Export, ExportKind
from paas.context import Context
from paas.deploy.limits import build_limits
from paas.errors import UsageError
from paas.oci.archives import ArchiveFormat, put_in_place, save_image
from paas.oci.reference import Reference
from paas.oci.store import Image, ImageStore
from paas.output import Output

if TYPE_CHECKING:
    from paas.builders.dockerfile.order import BuildOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line, as it was written."""

    context: str
    dockerfile: str
    references: tuple[str, ...]
    target: str
    arguments: tuple[str, ...]
    labels: tuple[str, ...]
    secrets: tuple[str, ...]
    agents: tuple[str, ...]
    allowed: tuple[str, ...]
    exports: tuple[str, ...]
    no_cache: bool
    pull: bool
    progress: str


@click.command("image:build")
@click.argument("context", metavar="[DIRECTORY | GIT-URL | -]", default=".")
@click.option("--tag", "-t", "references", multiple=True, metavar="REFERENCE", help="what to call the image")
@click.option("--file", "-f", "dockerfile", default="", metavar="FILE", help="the Dockerfile, by default the directory's")
@click.option("--target", default="", help="stage to stop at")
@click.option("--build-arg", "arguments", multiple=True, metavar="KEY[=VALUE]", help="without a value, that of the environment")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]")
@click.option("--secret", "secrets", multiple=True, metavar="id=ID[,src=FILE|,env=VAR]", help="for RUN --mount=type=secret")
@click.option("--ssh", "agents", multiple=True, metavar="default|ID[=SOCKET|KEY[,KEY]]", help="for RUN --mount=type=ssh")
@click.option("--allow", "allowed", multiple=True, type=click.Choice(["network.host"]), help="what RUN may ask for")
@click.option("--output", "-o", "exports", multiple=True, metavar="type=local|tar|oci|docker,dest=PATH", help="write it there")
@click.option("--no-cache", is_flag=True, help="run every step again")
@click.option("--pull", is_flag=True, help="ask the registry for base images that are here already")
@click.option("--progress", type=click.Choice(["auto", "plain", "quiet"]), default="auto", help="quiet prints the id alone")
@click.option("--quiet", "-q", is_flag=True, help="as --progress quiet")
@click.pass_obj
def build(ctx: Context, /, quiet: bool, **options: Any) -> None:
    """Build the Dockerfile of a directory into an image."""
    said = Options(**options)
    exports = tuple(buildwords.parse_export(text) for text in said.exports)
    for export in exports:
        buildwords.check_destination(export)
    wanted = [str(Reference.parse(reference)) for reference in said.references]
    to_stdout = any(export.destination == STREAM for export in exports)
    output = _output(ctx, is_quiet=quiet or said.progress == "quiet", to_stdout=to_stdout)
    image = _build(ctx, said, output)
    store = ImageStore(ctx.paths.images)
    for reference in wanted:
        store.tag(image.id, reference)
    for export in exports:
        _export(ctx, store, image, export, wanted)
    if not to_stdout:
        ctx.output.plain(image.id)


def _build(ctx: Context, options: Options, output: Output) -> Image:
    from paas.builders.dockerfile.builder import build_image  # the parser is of no use to the other commands

    with _ordered(ctx, options, output) as order:
        return build_image(order, engine=ctx.engine, paths=ctx.paths, settings=ctx.settings)


@contextlib.contextmanager
def _ordered(ctx: Context, options: Options, output: Output) -> Iterator[BuildOrder]:
    """Give the order that the command line means; the context lives as long as the block."""
    from paas.builders.dockerfile.agent import own_agent
    from paas.builders.dockerfile.options import parse_arguments, parse_labels
    from paas.builders.dockerfile.order import BuildOrder
    from paas.builders.dockerfile.received import received_context
    from paas.builders.dockerfile.scratch import scratch_directories

    with contextlib.ExitStack() as stack:
        caller = buildwords.caller_environment(os.environ)
        asked = buildwords.parse_agents(options.agents, caller)
        scratch = stack.enter_context(scratch_directories(ctx.paths.work, ctx.paths.run / "builds"))
        agents = {
            name: stack.enter_context(own_agent(paths, scratch.new_socket())) if paths[0].is_file() else paths[0]
            for name, paths in asked.items()
        }
        arguments = parse_arguments(options.arguments, caller)
        if "SOURCE_DATE_EPOCH" in caller:
            arguments = {"SOURCE_DATE_EPOCH": caller["SOURCE_DATE_EPOCH"], **arguments}
        order = BuildOrder(
            tree=Path(), cache=ctx.paths.cache / "images", output=output, target=options.target, build_args=arguments,
            secrets=buildwords.parse_secrets(options.secrets, caller), agents=agents, labels=parse_labels(options.labels),
            limits=build_limits({}, ctx.settings), timeout_s=ctx.settings.build_timeout_s, uses_cache=not options.no_cache,
            pulls=options.pull, allows_host_network="network.host" in options.allowed,
        )  # fmt: skip
        if options.context == STREAM and options.dockerfile == STREAM:
            raise UsageError("The context and the Dockerfile cannot both come from standard input")
        if (directory := Path(options.context)).is_dir() and options.context != STREAM:
            yield _with_dockerfile(replace(order, tree=directory.resolve()), options.dockerfile)
            return
        received = received_context(options.context, sys.stdin.buffer, scratch, agent=agents.get("default"))
        order = replace(order, tree=received.tree, text=received.dockerfile)
        if options.dockerfile == STREAM:
            order = _with_dockerfile(order, STREAM)
        yield replace(order, dockerfile=options.dockerfile) if options.dockerfile not in ("", STREAM) else order


def _with_dockerfile(order: BuildOrder, name: str) -> BuildOrder:
    """Say which Dockerfile: of the directory, of anywhere on this machine, or what stands on standard input."""
    if not name:
        return order
    if name == STREAM:
        return replace(order, text=sys.stdin.buffer.read().decode("utf-8", "replace"))
    file = Path(name)
    if not file.is_file():
        return replace(order, dockerfile=name)
    real = file.resolve()
    if real.is_relative_to(order.tree):
        return replace(order, dockerfile=str(real.relative_to(order.tree)))
    return replace(order, dockerfile=name, text=real.read_text(errors="replace"))


def _output(ctx: Context, *, is_quiet: bool, to_stdout: bool) -> Output:
    """Return where progress goes: nowhere, or to stderr when the image itself goes to stdout."""
    if is_quiet:
        return Output(quiet=True)
    return Output(sys.stderr, sys.stderr) if to_stdout else ctx.output


def _export(ctx: Context, store: ImageStore, image: Image, export: Export, references: Sequence[str]) -> None:
    from paas.builders.dockerfile.export import export_files, export_tar
    from paas.builders.dockerfile.scratch import scratch_directories

    if export.kind is ExportKind.LOCAL:
        export_files(store, image, Path(export.destination))
        return
    with scratch_directories(ctx.paths.work, ctx.paths.run / "builds") as scratch:
        file = scratch.new_directory() / "archive"
        if export.kind is ExportKind.TAR:
            with file.open("wb") as stream:
                export_tar(store, image, stream, scratch)
        else:
            kind = ArchiveFormat.OCI if export.kind is ExportKind.OCI else ArchiveFormat.DOCKER
            save_image(store, references[0] if references else image.id, file, kind=kind)
        _deliver(file, export.destination)


def _deliver(file: Path, destination: str) -> None:
    if destination != STREAM:
        put_in_place(file, Path(destination))
        return
    with file.open("rb") as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer)
    sys.stdout.buffer.flush()
