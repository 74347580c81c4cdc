"""ImageStore: the images of this machine: configs, ordered layers, and what they are called.

    images/<image id>.json      config and layer ids, lowest first; the image id is the hash of both
    tags/<quoted reference>     the image id
    listing.json                what listing.py read last
    transfers/<random>/         what a pull, push, load or save needs while it lasts; locked by it
    (layers: layerstore.py)

Not a registry's layout: tars and their digests are made when an image leaves the machine (layer.py, registry.py).

Nothing here syncs a whole filesystem on its own: a power cut may truncate files of a layer made seconds before, so callers
with time to spare (after a deploy has switched, after an import) call `sync`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

from paas.errors import InvalidInput, NotFound
from paas.host.files import disk_problem, remove_tree
from paas.host.run import run
from paas.oci.claims import claimed_directory
from paas.oci.layerstore import LayerStore, PendingLayer, modified
from paas.oci.leftovers import entries
from paas.oci.listing import ImageSummary, summarise
from paas.oci.manifest import ImageConfig
from paas.oci.reference import Reference

__all__ = ["Image", "ImageStore", "PendingLayer"]

MIN_PREFIX_LENGTH = 4
ID_LENGTH = 64
#: Images and layers made or used so recently stay although nothing holds them: longer than any build may take.
GRACE_S = 6 * 3600
#: A step that was found so recently may be about to be used by a builder that does not hold it.
CACHE_GRACE_S = 600
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image: its config and its layers, lowest first."""

    id: str
    config: ImageConfig
    layers: tuple[str, ...]
    created_at: float
    #: Nothing in it shall be dated later than `created_at` when it leaves the machine.
    is_dated: bool = False

    @property
    def short_id(self) -> str:
        return self.id[:12]


class ImageStore(LayerStore):
    """The images and layers under one directory. Any number of processes may use it at the same time."""

    def create_image(
        self, config: ImageConfig, layers: Sequence[str], *, reference: str = "", created_at: float | None = None,
        is_dated: bool = False,
    ) -> Image:  # fmt: skip
        """Record an image and tag it. The same config on the same layers is the same image. Raises NotFound."""
        wanted = Reference.parse(reference) if reference else None
        self.require_layers(layers)
        body: dict[str, object] = {"config": config.to_oci(), "layers": list(layers)}
        if is_dated:
            body["dated"] = created_at
        image_id = _id_of(body)
        file = self._image_file(image_id)
        image = self._read_image(image_id)
        if image is None:
            created_at = self._now() if created_at is None else created_at
            image = Image(id=image_id, config=config, layers=tuple(layers), created_at=created_at, is_dated=is_dated)
            self._replace(file, json.dumps({**body, "created_at": image.created_at}))
        os.utime(file, (self._now(),) * 2)  # young, or young again: prune leaves it to its maker
        if wanted:
            self._replace(self._tag_file(wanted), image_id)
        return image

    def image(self, name: str) -> Image:
        """Return an image by id, reference, or unique prefix of an id. Raises NotFound, InvalidInput when ambiguous."""
        found = self._read_image(self._resolve(name))
        if found is None:
            raise _no_image(name)
        return found

    def is_record_sound(self, image_id: str) -> bool:
        """Say whether an image's record is what its id was made of."""
        try:
            record = json.loads(self._image_file(image_id).read_bytes())
            return _id_of({key: value for key, value in record.items() if key != "created_at"}) == image_id
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def image_ids(self) -> tuple[str, ...]:
        """Return the ids of all images, also of those whose record a power cut truncated."""
        return tuple(file.stem for file in entries(self.root / "images"))

    def find_image(self, name: str) -> Image | None:
        """Return an image as `image` does, or None."""
        with contextlib.suppress(NotFound):
            return self.image(name)
        return None

    def images(self) -> tuple[Image, ...]:
        """Return all images, newest first."""
        found = map(self._read_image, self.image_ids())
        return tuple(sorted(filter(None, found), key=lambda image: -image.created_at))

    def summaries(self) -> tuple[ImageSummary, ...]:
        """Return what a list says of all images, newest first; quicker than `images`."""
        read = partial(self._summary, size_of=functools.cache(self.layer_size))  # many share their lowest layers
        return summarise(self.root, image_ids=self.image_ids, read=read, tags=self.tags)

    def tag(self, image: str, reference: str) -> None:
        """Give an image (any name of it) one more reference, taking it from the image that had it. Raises NotFound."""
        self._replace(self._tag_file(Reference.parse(reference)), self.image(image).id)

    def untag(self, reference: str) -> None:
        """Take a reference away; the image stays. Raises NotFound."""
        try:
            self._tag_file(Reference.parse(reference)).unlink()
        except FileNotFoundError:
            raise _no_image(reference) from None

    def tags(self) -> dict[str, str]:
        """Return familiar reference -> image id."""
        return {Reference.parse(unquote(name)).familiar: image_id for name, image_id in self._tag_files()}

    def references(self, image_id: str) -> tuple[str, ...]:
        """Return the familiar references of an image, sorted."""
        return tuple(sorted(Reference.parse(unquote(n)).familiar for n, tagged in self._tag_files() if tagged == image_id))

    def remove(self, image: str) -> None:
        """Remove an image (any name of it) with all its references; `prune` frees its layers. Raises NotFound."""
        image_id = self._resolve(image)
        if image_id not in self.image_ids():  # not `image`: a damaged record is removed, too
            raise _no_image(image)
        for reference in self.references(image_id):
            self._tag_file(Reference.parse(reference)).unlink(missing_ok=True)
        self._image_file(image_id).unlink(missing_ok=True)

    def prune(
        self, keep: Collection[str] = (), *, grace_s: float = GRACE_S, cache_bytes: int | None = None,
        cache_grace_s: float = CACHE_GRACE_S,
    ) -> tuple[str, ...]:  # fmt: skip
        """Remove images that have no reference and are not in `keep` (ids), then layers that no image holds.

        Spares what was made or used less than `grace_s` ago or since a running build began, what that build holds, and the
        step cache up to `cache_bytes` (None: all of it). Removes also what dead processes left. Returns the ids of the images
        that went.
        """
        self._make_directories()
        with self._pruning():
            since, held = self._held()
            oldest = min(self._now() - grace_s, since)
            wanted = {*keep, *self.tags().values()}
            doomed = [i for i in self.image_ids() if i not in wanted and modified(self._image_file(i)) < oldest]
            for image_id in doomed:
                self._image_file(image_id).unlink(missing_ok=True)
            held |= {layer for image in self.images() for layer in image.layers}
            unused_since = min(self._now() - cache_grace_s, since)
            self.detach_layers(held, oldest=oldest, cache_bytes=cache_bytes, unused_since=unused_since)
        for leftover in self.leftovers():
            leftover.remove()
        self.summaries()
        return tuple(doomed)

    @contextlib.contextmanager
    def transfer(self) -> Iterator[Path]:
        """Give a directory on the store's disk for files on their way. Nothing is pruned that comes in meanwhile."""
        with self.hold():
            scratch = self.root / "transfers" / secrets.token_hex(8)
            try:
                with claimed_directory(scratch):
                    yield scratch
            finally:
                remove_tree(scratch)

    def sync(self) -> None:
        """Write the store's filesystem to disk; may take as long as the disk is behind. Nobody who lists images waits later."""
        self._make_directories()
        self.summaries()
        run(["sync", "--file-system", str(self.root)])

    def _resolve(self, name: str) -> str:
        """Return the id that a name means, '' when there is none."""
        plain = name.removeprefix("sha256:")
        if len(plain) == ID_LENGTH and _HEX.issuperset(plain):
            return plain
        with contextlib.suppress(InvalidInput, FileNotFoundError):
            return self._tag_file(Reference.parse(name)).read_text()
        if len(plain) < MIN_PREFIX_LENGTH or not _HEX.issuperset(plain):
            return ""
        found = [image_id for image_id in self.image_ids() if image_id.startswith(plain)]
        if len(found) > 1:
            raise InvalidInput(f"'{name}' is the beginning of {len(found)} image ids", remedy="give more of its digits")
        return found[0] if found else ""

    def _read_image(self, image_id: str) -> Image | None:
        """Read an image's record; one that a power cut truncated is none."""
        try:
            record = json.loads(self._image_file(image_id).read_bytes())
            return Image(
                id=image_id,
                config=ImageConfig.from_oci(record["config"]),
                layers=tuple(record["layers"]),
                created_at=record["created_at"],
                is_dated="dated" in record,
            )
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def _summary(self, image_id: str, *, size_of: Callable[[str], int]) -> ImageSummary | None:
        try:
            with open(f"{self.root}/images/{image_id}.json", "rb", buffering=0) as stream:
                record = json.loads(stream.read())
            layers = tuple(record["layers"])
            return ImageSummary(id=image_id, created_at=record["created_at"], layers=layers, size=sum(map(size_of, layers)))
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def _tag_files(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the content of all tag files. Without pathlib: there may be thousands."""
        directory = str(self.root / "tags")
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(directory):
                if entry.name.startswith("."):
                    continue
                with contextlib.suppress(FileNotFoundError), open(entry.path, "rb", buffering=0) as stream:
                    yield entry.name, stream.read().decode()  # one that is untagged since it was listed is left out

    def _image_file(self, image_id: str) -> Path:
        return self.root / "images" / f"{image_id}.json"

    def _tag_file(self, reference: Reference) -> Path:
        return self.root / "tags" / quote(str(reference), safe="")

    def _replace(self, file: Path, content: str) -> None:
        """Write a small file by one rename. Unlike atomic_write without fsync: this is on the way of every deploy."""
        self._make_directories()
        temporary = file.with_name(f".{secrets.token_hex(8)}")
        try:
            temporary.write_text(content)
            temporary.rename(file)
        except OSError as exc:
            temporary.unlink(missing_ok=True)
            raise disk_problem(exc, file) from exc


def _id_of(body: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _no_image(name: str) -> NotFound:
    return NotFound(f"There is no image '{name}'", remedy="list them with: paas image:list")
