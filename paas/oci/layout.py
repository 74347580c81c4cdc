"""Images as directories that skopeo reads and writes: how an image enters and leaves the store.

    in:   skopeo's `dir:` (manifest.json and blobs by their hex digest), layers compressed as they came
    out:  an OCI image layout (index.json, blobs/sha256/), layers as plain tars that skopeo compresses when it pushes

What comes in is trusted in nothing: the configuration must be the one that the manifest names, each layer's plain content the
one that the configuration names, and all layers together must stay within the limits.
Layers that came in are found again by their chain id, so an image that shares them with another is not unpacked twice.

Source: OCI image-spec v1.1, image-layout.md, manifest.md, and config.md "Layer ChainID".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paas.errors import InvalidInput, NotFound
from paas.host.files import disk_problem
from paas.oci.digest import Digest
from paas.oci.layer import pack_layer
from paas.oci.limits import DEFAULT_LIMITS, NOTHING, UnpackLimits
from paas.oci.manifest import ImageConfig
from paas.oci.store import Image, ImageStore
from paas.oci.unpack import unpack_layer
from paas.oci.verify import note_digest

_MEDIA_TYPE = "application/vnd.oci.image.{}"
#: What a manifest may call its configuration; others are no container images (charts, signatures, ...).
_CONFIG_TYPES = ("", _MEDIA_TYPE.format("config.v1+json"), "application/vnd.docker.container.image.v1+json")
#: As Docker allows; overlayfs on older kernels takes not many more.
MAX_LAYERS = 127
#: skopeo allows so much for a manifest or a configuration.
_MAX_DOCUMENT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    """A blob that a manifest names."""

    file: Path
    digest: Digest
    size: int


def import_directory(
    store: ImageStore, directory: Path, *, reference: str = "", limits: UnpackLimits = DEFAULT_LIMITS
) -> Image:
    """Take an image from skopeo's `dir:`. Raises InvalidInput. Uses up the blobs."""
    config, blobs, diff_ids = _read_image(directory)
    layers: list[str] = []
    unpacked = NOTHING
    for number, (blob, diff_id, chain_id) in enumerate(zip(blobs, diff_ids, chain_ids(diff_ids), strict=True), 1):
        found = store.find_layer(f"chain:{chain_id}")
        if found is None:
            with store.new_layer() as layer:
                lowers = [store.layer_dir(below) for below in reversed(layers)]
                unpacked = unpack_layer(_checked_file(blob), layer.diff, lowers=lowers, limits=limits, before=unpacked)
                if unpacked.diff_id != diff_id:
                    raise InvalidInput(f"A layer of the image is {unpacked.diff_id}, but its configuration says {diff_id}")
                found = layer.commit(f"chain:{chain_id}", is_reproducible=True)
        layers.append(found)
        if blob.digest not in {later.digest for later in blobs[number:]}:
            blob.file.unlink(missing_ok=True)  # the disk need not hold it twice for longer
    return store.create_image(config, layers, reference=reference)


def _read_image(directory: Path) -> tuple[ImageConfig, tuple[_Blob, ...], tuple[Digest, ...]]:
    """Return configuration, layers and their diff_ids of an image whose parts fit together. Raises InvalidInput."""
    file, blobs = _blobs_of(_read_object(directory / "manifest.json"), directory)
    if Digest.of_bytes(_read_file(file.file, "configuration")) != file.digest:
        raise InvalidInput("The image's configuration is not the one that its manifest names")
    document = _read_object(file.file)
    config, diff_ids = ImageConfig.from_oci(document), _diff_ids(document)
    if len(blobs) != len(diff_ids):
        raise InvalidInput(f"The image has {len(blobs)} layers, but its configuration names {len(diff_ids)}")
    if config.os != "linux":
        raise InvalidInput(f"The image is for {config.os}, not for linux")
    return config, blobs, diff_ids


def _blobs_of(manifest: dict[str, Any], directory: Path) -> tuple[_Blob, tuple[_Blob, ...]]:
    """Return the configuration and the layers that a manifest names. Raises InvalidInput."""
    try:
        kind = str(manifest["config"].get("mediaType", ""))
        config = _blob_from(manifest["config"], directory)
        blobs = tuple(_blob_from(layer, directory) for layer in manifest["layers"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise InvalidInput(f"The image's manifest is malformed or of an old kind: {exc} is missing") from exc
    if kind not in _CONFIG_TYPES:
        raise InvalidInput(f"This is no container image, but an artifact of the type {kind}")
    if len(blobs) > MAX_LAYERS:
        raise InvalidInput(f"The image has {len(blobs)} layers; more than {MAX_LAYERS} cannot be stacked")
    return config, blobs


def _blob_from(written: dict[str, Any], directory: Path) -> _Blob:
    digest = Digest.parse(written["digest"])
    return _Blob(file=directory / digest.hex, digest=digest, size=int(written["size"]))


def _diff_ids(document: dict[str, Any]) -> tuple[Digest, ...]:
    try:
        return tuple(Digest.parse(diff_id) for diff_id in document["rootfs"]["diff_ids"])
    except (KeyError, TypeError, AttributeError) as exc:
        raise InvalidInput("The image's configuration does not name its layers (rootfs.diff_ids)") from exc


def _checked_file(blob: _Blob) -> Path:
    """Return the file of a blob. Raises InvalidInput when it is not there, or not of the size that the manifest says."""
    if not blob.file.is_file():
        raise InvalidInput(f"The image lacks the layer {blob.digest}")
    size = blob.file.stat().st_size
    if size != blob.size:
        raise InvalidInput(f"The layer {blob.digest} has {size} bytes, but the manifest says {blob.size}")
    return blob.file


def chain_ids(diff_ids: Sequence[Digest]) -> Iterator[Digest]:
    """Yield for each layer the digest that names it together with all below it. Pure."""
    chain: Digest | None = None
    for diff_id in diff_ids:
        chain = diff_id if chain is None else Digest.of_bytes(f"{chain} {diff_id}".encode())
        yield chain


def write_layout(store: ImageStore, image: Image, directory: Path, *, newest: float | None = None) -> None:
    """Write an image as an OCI image layout with this one image in it.

    No time in it is later than `newest` (SOURCE_DATE_EPOCH): then the same content gives the same digests, whenever it was made.
    An image that was built with one has it of its own.
    """
    newest = image.created_at if newest is None and image.is_dated else newest
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    try:
        packed = [_write_layer(store, layer, blobs, newest) for layer in image.layers]
    except OSError as exc:
        raise disk_problem(exc, directory) from exc
    config = _outgoing_config(image, newest).to_oci(
        diff_ids=[layer["digest"] for layer in packed], created_at=_capped(image.created_at, newest)
    )
    if sum(not entry.is_empty_layer for entry in image.config.history) != len(image.layers):
        config.pop("history", None)  # the spec wants one entry for each layer, or none
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": _MEDIA_TYPE.format("manifest.v1+json"),
        "config": _write_blob(blobs, config, _MEDIA_TYPE.format("config.v1+json")),
        "layers": packed,
    }
    index = {"schemaVersion": 2, "manifests": [_write_blob(blobs, manifest, manifest["mediaType"])]}
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def import_rootfs_tar(
    store: ImageStore, tar: Path, *, reference: str = "", config: ImageConfig | None = None,
    limits: UnpackLimits = DEFAULT_LIMITS,
) -> Image:  # fmt: skip
    """Make a one-layer image of a root file system's tar (plain, gzip, bzip2, xz or zstd). Raises InvalidInput, NotFound."""
    if not tar.exists():
        raise NotFound(f"There is no file {tar}")
    if not tar.is_file():
        raise InvalidInput(f"{tar} is no regular file", remedy="give a tar; what comes through a pipe is called -")
    with store.new_layer() as layer:
        unpack_layer(tar, layer.diff, limits=limits, has_whiteouts=False)
        layer_id = layer.commit()
    image = store.create_image(config or ImageConfig(), [layer_id], reference=reference)
    store.sync()
    return image


def _outgoing_config(image: Image, newest: float | None) -> ImageConfig:
    history = tuple(replace(entry, created_at=_capped(entry.created_at, newest)) for entry in image.config.history)
    return replace(image.config, history=history)


def _capped(at: float, newest: float | None) -> float:
    return at if newest is None else min(at, newest)


def _write_layer(store: ImageStore, layer_id: str, blobs: Path, newest: float | None) -> dict[str, Any]:
    temporary = blobs / layer_id
    with temporary.open("wb") as stream:
        packed = pack_layer(store.layer_dir(layer_id), stream, newest=newest)
    temporary.rename(blobs / packed.diff_id.hex)
    if newest is None:
        note_digest(store, layer_id, packed.diff_id)
    return {"mediaType": _MEDIA_TYPE.format("layer.v1.tar"), "digest": str(packed.diff_id), "size": packed.size}


def _write_blob(blobs: Path, document: dict[str, Any], media_type: str) -> dict[str, Any]:
    content = json.dumps(document).encode()
    digest = Digest.of_bytes(content)
    (blobs / digest.hex).write_bytes(content)
    return {"mediaType": media_type, "digest": str(digest), "size": len(content)}


def _read_object(file: Path) -> dict[str, Any]:
    content = _read_file(file, file.name if file.suffix else "configuration")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"The image's {file.name} is no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise InvalidInput(f"The image's {file.name} is not a JSON object")
    return found


def _read_file(file: Path, what: str) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_DOCUMENT_BYTES + 1)
    except OSError as exc:
        raise InvalidInput(f"The image has no readable {what}: {exc.strerror}") from exc
    if len(content) > _MAX_DOCUMENT_BYTES:
        raise InvalidInput(f"The image's {what} is larger than {_MAX_DOCUMENT_BYTES >> 20} MiB")
    return content
