"""Images from and to files: docker-archive, as `docker save` writes it, and oci-archive.

A docker-archive is read by skopeo. Of an oci-archive we take the layout's own files out first, so that nothing in it leads
skopeo to a file of this machine, and choose from its index: one image for each name, the one for this machine.

Source: OCI image-spec v1.1, image-layout.md; docker-image-spec v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, cast

from paas.errors import InvalidInput, NotFound
from paas.host.files import disk_problem
from paas.oci.compression import PlainStream, open_plain
from paas.oci.header import Header
from paas.oci.layout import import_directory, write_layout
from paas.oci.limits import UnpackLimits
from paas.oci.manifest import host_platform
from paas.oci.reference import Reference
from paas.oci.skopeo import DEFAULT_REGISTRIES, Lines, Registries, copy_image, ignore_line
from paas.oci.store import Image, ImageStore

_MAX_INDEX_BYTES = 4 << 20
_LAYOUT_FILE = re.compile(r"(?:\./)?(oci-layout|index\.json|blobs/[a-z0-9]+/[0-9a-f]{64,128})\Z")
_REF_NAME, _CONTAINERD_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"


class ArchiveFormat(StrEnum):
    DOCKER = "docker-archive"
    OCI = "oci-archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Archived:
    """One image of an archive: skopeo's name for it, and its references."""

    source: str
    references: tuple[str, ...]


def load_images(
    store: ImageStore, archive: Path, *, registries: Registries = DEFAULT_REGISTRIES, on_line: Lines = ignore_line
) -> tuple[Image, ...]:
    """Take all images of an archive with their references. Raises InvalidInput, NotFound, HostProblem."""
    loaded = []
    with store.transfer() as scratch:
        for number, found in enumerate(_images_of(archive, scratch, registries.limits)):
            directory = scratch / f"image-{number}"
            copy_image(
                found.source, f"dir:{directory}", f"Could not load {archive}",
                registries=registries, scratch=scratch, on_line=on_line,
            )  # fmt: skip
            image = import_directory(store, directory, limits=registries.limits)
            for reference in found.references:
                store.tag(image.id, reference)
            loaded.append(image)
            shutil.rmtree(directory)
    store.sync()
    return tuple(loaded)


def save_image(
    store: ImageStore, image: str, archive: Path, *, kind: ArchiveFormat = ArchiveFormat.DOCKER,
    registries: Registries = DEFAULT_REGISTRIES, on_line: Lines = ignore_line, newest: float | None = None,
) -> None:  # fmt: skip
    """Write an image as a file that `docker load`, `podman load` or `image:load` reads, whole or not at all.

    Raises NotFound, HostProblem. `newest`: see `write_layout`.
    """
    found = store.image(image)
    names = store.references(found.id)
    name = next((n for n in names if image in (n, str(Reference.parse(n)))), names[0] if names else "")
    with store.transfer() as scratch:
        write_layout(store, found, scratch / "image", newest=newest)
        target = scratch / "archive"
        suffix = f":{Reference.parse(name)}" if name else ""
        copy_image(
            f"oci:{scratch / 'image'}", f"{kind}:{target}{suffix}", f"Could not save {image}",
            registries=registries, scratch=scratch, on_line=on_line,
        )  # fmt: skip
        put_in_place(target, archive)


def put_in_place(made: Path, wanted: Path) -> None:
    """Move a finished file to where it is wanted, which may be another disk, or a device. Raises HostProblem."""
    temporary = wanted.with_name(f".{wanted.name}.{os.getpid()}")
    try:
        if wanted.exists() and not wanted.is_file():
            with made.open("rb") as source, wanted.open("wb") as device:
                shutil.copyfileobj(source, device)
            return
        shutil.move(made, temporary)
        temporary.rename(wanted)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise disk_problem(exc, wanted) from exc


def _images_of(archive: Path, scratch: Path, limits: UnpackLimits) -> tuple[_Archived, ...]:
    """Return what is in an archive. Raises InvalidInput when it is none."""
    if ":" in str(archive):
        raise InvalidInput(f"{archive} has a colon in its name, which skopeo cannot read", remedy="rename the file")
    if not archive.exists():
        raise NotFound(f"There is no file {archive}")
    if not archive.is_file():
        raise InvalidInput(f"{archive} is no regular file", remedy="give an archive; what comes through a pipe is called -")
    try:
        documents = _take_layout(archive, scratch / "layout", limits)
        found: tuple[_Archived, ...] = ()
        if "manifest.json" in documents:
            found = tuple(_docker_images(archive, documents["manifest.json"]))
        elif "index.json" in documents:
            found = tuple(_oci_images(scratch, documents["index.json"]))
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        reason = str(exc).partition("\n")[0].rstrip(":")
        raise InvalidInput(f"{archive} is no image archive: {reason}") from exc
    except InvalidInput as exc:
        raise InvalidInput(f"{archive} is no image archive: {exc.message}", remedy=exc.remedy) from exc
    if found:
        return found
    raise InvalidInput(f"{archive} is no image archive", remedy="for a root file system use: paas image:import")


def _take_layout(archive: Path, directory: Path, limits: UnpackLimits) -> dict[str, Any]:
    """Copy an OCI layout's files out of an archive; return the parsed lists of images in it, by name.

    An archive that is both, as newer Docker writes it, is a docker-archive: skopeo reads the file itself.
    """
    documents: dict[str, Any] = {}
    with open_plain(archive, limit=limits.max_bytes) as plain, tarfile.open(
        fileobj=cast(IO[bytes], plain), mode="r:", tarinfo=Header, errors="surrogateescape"
    ) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # or it remembers every one
            plain.begin_member()
            name = member.name.removeprefix("./")
            if name in ("manifest.json", "index.json") and member.isreg() and member.size <= _MAX_INDEX_BYTES:
                plain.seek(member.offset_data)
                documents[name] = json.loads(plain.read(member.size))
            elif "manifest.json" not in documents and member.isreg() and _LAYOUT_FILE.match(name):
                _take(plain, member, directory / name)
            plain.begin_member()
    return documents


def _take(plain: PlainStream, member: tarfile.TarInfo, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    plain.seek(member.offset_data)
    with file.open("wb", buffering=0) as stream:
        plain.copy_to(stream.fileno(), member.size)


def _docker_images(archive: Path, listing: Any) -> Iterator[_Archived]:
    for number, entry in enumerate(listing):
        references = tuple(str(Reference.parse(name)) for name in entry.get("RepoTags") or ())
        yield _Archived(source=f"{ArchiveFormat.DOCKER}:{archive}:@{number}", references=references)


def _oci_images(scratch: Path, index: Mapping[str, Any]) -> Iterator[_Archived]:
    """Yield one layout for each image, made of the blobs of all."""
    layout = scratch / "layout"
    for number, (name, entry) in enumerate(_chosen(index["manifests"]).items()):
        own = scratch / f"layout-{number}"
        own.mkdir()
        (own / "blobs").symlink_to(layout / "blobs")
        (own / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        plain = {key: value for key, value in entry.items() if key != "annotations"}
        (own / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [plain]}))
        notes = entry.get("annotations") or {}
        full = str(notes.get(_CONTAINERD_NAME, "")) or (name if "/" in name or ":" in name else "")
        yield _Archived(source=f"oci:{own}", references=(str(Reference.parse(full)),) if full else ())


def _chosen(manifests: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return for each name its manifest; of several for different machines the one for this. Raises InvalidInput."""
    named: dict[str, list[Mapping[str, Any]]] = {}
    for entry in manifests:
        named.setdefault(str((entry.get("annotations") or {}).get(_REF_NAME, "")), []).append(entry)
    chosen = {}
    for name, entries in named.items():
        found = entries if len(entries) == 1 else [entry for entry in entries if _fits(entry)]
        if not found:
            raise InvalidInput(f"none of its images is for {host_platform()[0]}")
        if len(found) > 1:
            raise InvalidInput(f"it holds {len(found)} images that {'are called ' + name if name else 'have no name'}")
        chosen[name] = found[0]
    return chosen


def _fits(entry: Mapping[str, Any]) -> bool:
    platform = entry.get("platform") or {}
    return (platform.get("os"), platform.get("architecture")) == ("linux", host_platform()[0])
