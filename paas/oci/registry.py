"""Images from and to other places: registries, docker-archive and oci-archive files. All of it is skopeo's work.

Logins, mirrors and signature policy are skopeo's own: ~/.docker/config.json or `skopeo login`, /etc/containers/registries.conf,
/etc/containers/policy.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from paas.errors import HostProblem, InvalidInput, NotFound
from paas.host.run import LastLines, stream
from paas.oci.layout import import_directory, write_layout
from paas.oci.reference import Reference
from paas.oci.store import Image, ImageStore

PULL_TIMEOUT_S = 1800
#: No registry answers more than this about one file of an archive that we read ourselves.
_MAX_INDEX_BYTES = 8 << 20


#: Is given each line that skopeo prints.
Lines = Callable[[str], None]


class ArchiveFormat(StrEnum):
    DOCKER = "docker-archive"
    OCI = "oci-archive"


def _ignore(line: str) -> None:
    """Drop a line of progress; the error keeps the last ones anyway."""


def pull_image(store: ImageStore, reference: str, *, on_line: Lines = _ignore) -> Image:
    """Fetch an image from its registry and tag it. Raises HostProblem when that cannot be, InvalidInput for a bad image."""
    wanted = Reference.parse(reference)
    with _scratch(store) as scratch:
        _copy(f"docker://{wanted}", f"dir:{scratch / 'image'}", f"Could not pull {wanted.familiar}", on_line, scratch)
        image = import_directory(store, scratch / "image", reference=str(wanted))
    store.sync()
    return image


def push_image(store: ImageStore, image: str, reference: str, *, on_line: Lines = _ignore) -> None:
    """Send an image to a registry under this reference. Raises NotFound, HostProblem."""
    wanted = Reference.parse(reference)
    with _scratch(store) as scratch:
        write_layout(store, store.image(image), scratch / "image")
        _copy(f"oci:{scratch / 'image'}", f"docker://{wanted}", f"Could not push {wanted.familiar}", on_line, scratch)


def load_images(store: ImageStore, archive: Path, *, on_line: Lines = _ignore) -> tuple[Image, ...]:
    """Take all images of a docker-archive or oci-archive with their references. Raises InvalidInput, HostProblem."""
    loaded = []
    with _scratch(store) as scratch:
        for number, (source, references) in enumerate(_archived(archive)):
            directory = scratch / str(number)
            _copy(source, f"dir:{directory}", f"Could not load {archive}", on_line, scratch)
            image = import_directory(store, directory)
            for reference in references:
                store.tag(image.id, reference)
            loaded.append(image)
    store.sync()
    return tuple(loaded)


def save_image(
    store: ImageStore, image: str, archive: Path, *, kind: ArchiveFormat = ArchiveFormat.DOCKER, on_line: Lines = _ignore
) -> None:
    """Write an image as a file that `docker load`, `podman load` or `image:load` reads. Raises NotFound, HostProblem."""
    found = store.image(image)
    names = store.references(found.id)
    name = next((n for n in names if image in (n, str(Reference.parse(n)))), names[0] if names else "")
    with _scratch(store) as scratch:
        write_layout(store, found, scratch / "image")
        target = scratch / "archive"
        suffix = f":{Reference.parse(name)}" if name else ""
        _copy(f"oci:{scratch / 'image'}", f"{kind}:{target}{suffix}", f"Could not save {image}", on_line, scratch)
        shutil.move(target, archive)


def _copy(source: str, target: str, failure: str, on_line: Lines, scratch: Path) -> None:
    argv = ["skopeo", f"--tmpdir={scratch}", "copy", "--retry-times=1"]
    if target.startswith("dir:"):
        argv.append("--dest-decompress")
    said = LastLines(on_line)
    if stream([*argv, source, target], said, env={**os.environ, "TMPDIR": str(scratch)}, timeout_s=PULL_TIMEOUT_S):
        raise HostProblem(
            failure, output=said.lines,
            remedy="check the name, that the registry is reachable from here, and its login: skopeo login <registry>",
        )  # fmt: skip


def _archived(archive: Path) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Return skopeo's name for each image of an archive, and its references."""
    if ":" in str(archive):
        raise InvalidInput(f"{archive} has a colon in its name, which skopeo cannot read", remedy="rename the file")
    try:
        with tarfile.open(archive) as tar:
            listing = _member(tar, "manifest.json")
            if listing is not None:
                return [
                    (f"{ArchiveFormat.DOCKER}:{archive}:@{number}", tuple(entry.get("RepoTags") or ()))
                    for number, entry in enumerate(listing)
                ]
            index = _member(tar, "index.json")
            if index is None:
                raise InvalidInput(f"{archive} is no image archive", remedy="for a root file system use: paas image:import")
            return [_oci_entry(archive, entry, len(index["manifests"])) for entry in index["manifests"]]
    except FileNotFoundError as exc:
        raise NotFound(f"There is no file {archive}") from exc
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as exc:
        reason = str(exc).partition("\n")[0].rstrip(":")
        raise InvalidInput(f"{archive} is no image archive: {reason}") from exc


def _member(tar: tarfile.TarFile, name: str) -> Any:
    for member in tar:
        if member.name.removeprefix("./") == name and member.isreg():
            content = tar.extractfile(member)
            assert content is not None
            return json.loads(content.read(_MAX_INDEX_BYTES))
    return None


def _oci_entry(archive: Path, entry: Mapping[str, Any], count: int) -> tuple[str, tuple[str, ...]]:
    """Return skopeo's name and the references of one manifest of an OCI index; a bare tag is no reference."""
    notes = entry.get("annotations") or {}
    name = str(notes.get("org.opencontainers.image.ref.name", ""))
    full = str(notes.get("io.containerd.image.name", "")) or (name if "/" in name or ":" in name else "")
    if count > 1 and not name:
        raise InvalidInput(f"{archive} holds {count} images and one of them has no name")
    return f"{ArchiveFormat.OCI}:{archive}{f':{name}' if count > 1 else ''}", (full,) if full else ()


@contextlib.contextmanager
def _scratch(store: ImageStore) -> Iterator[Path]:
    """Give a directory on the store's disk; one that a dead process left is removed by `ImageStore.prune`."""
    store.transfers.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.transfers) as name:
        yield Path(name)
