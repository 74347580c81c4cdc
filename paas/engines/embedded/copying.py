"""`docker cp`: files of a container to this machine and back, or as a tar on the caller's streams.

One side of a pipe is always a child inside the container (inside.py); what comes out of it is trusted as little as any archive.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from paas.engines.embedded.ground import Ground
from paas.engines.embedded.inside import call_inside, working_inside
from paas.engines.embedded.record import Record, container_from
from paas.errors import Conflict, InvalidInput
from paas.model.placement import FileKind, Found, place
from paas.oci.compression import plain_pipe
from paas.oci.limits import UnpackLimits
from paas.oci.trees import pack_tree, unpack_tree

#: What tells how an archive is compressed.
_START_BYTES = 512


def copy_in(
    ground: Ground, record: Record, source: str | int, destination: str, *, follows_link: bool, keeps_owners: bool
) -> int:
    """Copy a path of this machine, or unpack a tar from a descriptor, into a container; return the bytes. Raises InvalidInput."""
    _refuse_read_only(ground, record)
    target = _find_inside(ground, record, destination, follows_link=True)
    if isinstance(source, int):
        if target.kind is not FileKind.DIRECTORY:
            raise InvalidInput(f"There is no directory '{destination}' in the container", remedy="an archive needs one")
        start = _read_start(source)
        with plain_pipe(start) as (reading, writing):
            return _unpack_inside(ground, record, target.path, reading, writing, lambda: _pump(start, source, writing))
    found = _find(source, str(Path.cwd()), follows_link=follows_link)
    placement = place(found, target)
    with plain_pipe(b"") as (reading, writing):
        return _unpack_inside(
            ground, record, placement.directory, reading, writing,
            lambda: pack_tree(found.path, placement.name, writing, keeps_owners=keeps_owners),
        )  # fmt: skip


def copy_out(
    ground: Ground, record: Record, source: str, destination: str | int, *, follows_link: bool, keeps_owners: bool
) -> int:
    """Copy a path of a container to one of this machine, or as a tar to a descriptor; return the bytes. Raises InvalidInput."""
    found = _find_inside(ground, record, source, follows_link=follows_link)
    if isinstance(destination, int):
        place(found, Found(given=".", path="/", kind=FileKind.DIRECTORY))  # refuses what is not there
        name = "." if found.kind is FileKind.DIRECTORY and found.means_its_content else found.name
        call_inside(ground, record, lambda: _pack_to(destination, found.path, name, keeps_owners=True))
        return 0
    target = _find(destination, str(Path.cwd()), follows_link=True)
    _require_parent(target)
    placement = place(found, target)
    reading, end = os.pipe2(os.O_CLOEXEC)

    def pack() -> None:
        _pack_to(end, found.path, placement.name, keeps_owners=keeps_owners)

    with working_inside(ground, record, pack, closes=(reading,)) as answer:
        os.close(end)
        try:
            unpacked = unpack_tree(reading, placement.directory, below="", limits=UnpackLimits.of(ground.settings))
        finally:
            os.close(reading)
        answer()
    return unpacked.size


def _pack_to(descriptor: int, path: str, name: str, *, keeps_owners: bool) -> None:
    with open(descriptor, "wb", closefd=False) as stream:
        pack_tree(path, name, stream, keeps_owners=keeps_owners)


def _unpack_inside(
    ground: Ground, record: Record, directory: str, reading: int, writing: BinaryIO, write: Callable[[], object]
) -> int:
    """Unpack in the container what `write` writes to the other end of the pipe."""
    limits = UnpackLimits.of(ground.settings)

    def unpack() -> int:
        return unpack_tree(reading, "/", below=directory, limits=limits).size

    with working_inside(ground, record, unpack, closes=(writing.fileno(),)) as answer:
        os.close(reading)
        try:
            write()
        finally:
            with contextlib.suppress(BrokenPipeError):  # who read it says why
                writing.close()
        return cast(int, answer())


def _read_start(descriptor: int) -> bytes:
    start = b""
    while len(start) < _START_BYTES and (more := os.read(descriptor, _START_BYTES - len(start))):
        start += more
    return start


def _pump(start: bytes, descriptor: int, stream: BinaryIO) -> None:
    stream.write(start)
    with open(descriptor, "rb", buffering=0, closefd=False) as rest:
        shutil.copyfileobj(rest, stream)


def _find_inside(ground: Ground, record: Record, given: str, *, follows_link: bool) -> Found:
    def find() -> list[str]:
        found = _find(given, "/", follows_link=follows_link)
        if follows_link:
            _require_parent(found)
        return [found.path, found.kind]

    path, kind = call_inside(ground, record, find)
    return Found(given=given, path=path, kind=FileKind(kind))


def _find(given: str, base: str, *, follows_link: bool) -> Found:
    """Look at a path. Its last component is followed only when that is wanted or it is said to be a directory."""
    path = os.path.normpath(f"{base}/{given}" if not given.startswith("/") else given)
    found = Found(given=given, path=path, kind=FileKind.OTHER)
    if follows_link or found.is_said_to_be_a_directory:
        path = os.path.realpath(path)
    else:
        parent, _, name = path.rpartition("/")
        path = f"{os.path.realpath(parent or '/').rstrip('/')}/{name}"
    try:
        kind = FileKind.DIRECTORY if stat.S_ISDIR(os.lstat(path).st_mode) else FileKind.OTHER
    except (FileNotFoundError, NotADirectoryError):
        kind = FileKind.MISSING
    return Found(given=given, path=path, kind=kind)


def _require_parent(found: Found) -> None:
    """Refuse what is not there in a directory that is not there either. Raises InvalidInput."""
    parent = Path(found.path).parent
    if found.kind is FileKind.MISSING and not parent.is_dir():
        raise InvalidInput(f"There is no directory '{parent}'", remedy="make it first: nothing above a copy is made")


def _refuse_read_only(ground: Ground, record: Record) -> None:
    """The kernel refuses it in a running container; a stopped one has nothing mounted that would."""
    if record.is_read_only and not container_from(ground.home(record.id), record).is_running:
        raise Conflict(f"The root of container {record.name or record.id} is read-only", remedy="start it, and copy to a volume")
