"""A build context that is no directory of this machine: a tar or a Dockerfile on a stream, a git repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from paas.builders.dockerfile.copy import CopyError
from paas.builders.dockerfile.gitsource import check_commit, fetch_commit, find_commit, parse_git_source
from paas.builders.dockerfile.scratch import Scratch
from paas.builders.dockerfile.tree import LayeredTree
from paas.builders.dockerfile.unpack import ArchiveError, is_archive, unpack_archive
from paas.builders.dockerfile.writer import LayerWriter
from paas.errors import InvalidInput, NotFound
from paas.host.files import require_space

_STREAM = "-"
_CHUNK = 1 << 20
_LOOK_BYTES = 64 << 20
_SPARE_BYTES = 256 << 20
#: What is no archive is a Dockerfile; none is larger.
_MAX_DOCKERFILE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedContext:
    """A tree, and the Dockerfile's text when that was all that came."""

    tree: Path
    dockerfile: str | None = None


def received_context(name: str, stream: BinaryIO, scratch: Scratch, *, agent: Path | None) -> ReceivedContext:
    """Bring a context here: `-` is what stands on the stream, else a git repository. Raises NotFound, InvalidInput."""
    if name == _STREAM:
        return _from_stream(stream, scratch)
    try:
        repository = parse_git_source(name)
        if repository is None:
            raise NotFound(f"There is no directory '{name}' to build", remedy="give a directory, a git URL, or - for a tar")
        directory = scratch.new_directory()
        commit = find_commit(repository, directory, agent=agent)
        check_commit(repository, commit)
        tree = fetch_commit(repository, commit, directory, agent=agent)
    except CopyError as exc:
        raise InvalidInput(str(exc)) from exc
    top = LayeredTree([tree]).find(repository.subdir or "/")
    if top is None or not top.is_directory:
        raise NotFound(f"{repository.url} has no directory '{repository.subdir}'")
    return ReceivedContext(tree=Path(top.real))


def _from_stream(stream: BinaryIO, scratch: Scratch) -> ReceivedContext:
    file, tree = scratch.new_directory() / "context", scratch.new_directory()
    with file.open("wb") as sink:
        while chunk := stream.read(_CHUNK):
            if sink.tell() % _LOOK_BYTES < _CHUNK:
                require_space(file.parent, _SPARE_BYTES)
            sink.write(chunk)
    if is_archive(str(file)):
        writer = LayerWriter(tree, ())
        try:
            unpack_archive(str(file), "", writer)
            writer.finish()
        except (ArchiveError, OSError) as exc:
            raise InvalidInput(f"The context on standard input cannot be unpacked: {exc}") from exc
        file.unlink()
        return ReceivedContext(tree=tree)
    if file.stat().st_size > _MAX_DOCKERFILE_BYTES:
        raise InvalidInput("Standard input holds neither a tar nor a Dockerfile")
    return ReceivedContext(tree=tree, dockerfile=file.read_text(errors="replace"))
