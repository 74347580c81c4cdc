"""Images as directories that skopeo reads and writes: how an image enters and leaves the store.

    in:   skopeo's `dir:` (manifest.json and blobs by their hex digest), layers decompressed by skopeo
    out:  an OCI image layout (index.json, blobs/sha256/), layers as plain tars that skopeo compresses when it pushes

Layers that came in are found again by their chain id, so an image that shares them with another is not unpacked twice.

Source: OCI image-spec v1.1, image-layout.md, manifest.md, and config.md "Layer ChainID".
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from paas.errors import InvalidInput
from paas.host.run import run
from paas.oci.digest import Digest
from paas.oci.layer import pack_layer
from paas.oci.manifest import ImageConfig
from paas.oci.store import Image, ImageStore
from paas.oci.unpack import DEFAULT_LIMITS, UnpackLimits, unpack_layer

#: RFC 8878, 3.1.1.
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MEDIA_TYPE = "application/vnd.oci.image.{}"


def import_directory(
    store: ImageStore, directory: Path, *, reference: str = "", limits: UnpackLimits = DEFAULT_LIMITS
) -> Image:
    """Take an image from skopeo's `dir:` with decompressed layers. Raises InvalidInput. Uses up the blobs."""
    manifest = _read_object(directory / "manifest.json")
    try:
        config_digest = Digest.parse(manifest["config"]["digest"])
        blobs = [Digest.parse(layer["digest"]) for layer in manifest["layers"]]
        document = _read_object(directory / config_digest.hex)
        diff_ids = [Digest.parse(diff_id) for diff_id in document["rootfs"]["diff_ids"]]
    except (KeyError, TypeError) as exc:
        raise InvalidInput(f"The image's manifest is malformed or of an old kind: {exc} is missing") from exc
    if blobs != diff_ids:
        raise InvalidInput("The image's layers are not those that its configuration names")
    layers: list[str] = []
    for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
        layers.append(_import_layer(store, directory / diff_id.hex, chain_id, layers, limits))
    return store.create_image(ImageConfig.from_oci(document), layers, reference=reference)


def chain_ids(diff_ids: Sequence[Digest]) -> Iterator[Digest]:
    """Yield for each layer the digest that names it together with all below it. Pure."""
    chain: Digest | None = None
    for diff_id in diff_ids:
        chain = diff_id if chain is None else Digest.of_bytes(f"{chain} {diff_id}".encode())
        yield chain


def write_layout(store: ImageStore, image: Image, directory: Path) -> None:
    """Write an image as an OCI image layout with this one image in it."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    packed = [_write_layer(store, layer, blobs) for layer in image.layers]
    config = image.config.to_oci(diff_ids=[layer["digest"] for layer in packed], created_at=image.created_at)
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
    """Make a one-layer image of a root file system's tar (plain, gzip, bzip2, xz or zstd). Raises InvalidInput."""
    with store.new_layer() as layer, _plain_tar(tar, layer.diff.with_name("tar")) as stream:
        unpack_layer(stream, layer.diff, limits=limits, has_whiteouts=False)
        layer_id = layer.commit()
    return store.create_image(config or ImageConfig(), [layer_id], reference=reference)


@contextlib.contextmanager
def _plain_tar(tar: Path, scratch: Path) -> Iterator[BinaryIO]:
    """Open a tar; one in zstd, which this Python does not know, through a decompressed copy."""
    with tar.open("rb") as stream:
        if stream.read(len(_ZSTD_MAGIC)) != _ZSTD_MAGIC:
            stream.seek(0)
            yield stream
            return
    run(["zstd", "--quiet", "--decompress", "-o", str(scratch), str(tar)], remedy="is the file whole?")
    with scratch.open("rb") as stream:
        scratch.unlink()
        yield stream


def _import_layer(
    store: ImageStore, blob: Path, chain_id: Digest, below: Sequence[str], limits: UnpackLimits
) -> str:
    found = store.find_layer(f"chain:{chain_id}")
    if found is None:
        lowers = [store.layer_dir(layer) for layer in reversed(below)]
        with store.new_layer() as layer:
            with blob.open("rb") as stream:
                unpack_layer(stream, layer.diff, lowers=lowers, limits=limits)
            found = layer.commit(f"chain:{chain_id}")
    if blob.exists() and below.count(found) == 0:
        blob.unlink()  # the disk need not hold it twice for longer
    return found


def _write_layer(store: ImageStore, layer_id: str, blobs: Path) -> dict[str, Any]:
    temporary = blobs / layer_id
    with temporary.open("wb") as stream:
        packed = pack_layer(store.layer_dir(layer_id), stream)
    temporary.rename(blobs / packed.diff_id.hex)
    return {"mediaType": _MEDIA_TYPE.format("layer.v1.tar"), "digest": str(packed.diff_id), "size": packed.size}


def _write_blob(blobs: Path, document: dict[str, Any], media_type: str) -> dict[str, Any]:
    content = json.dumps(document).encode()
    digest = Digest.of_bytes(content)
    (blobs / digest.hex).write_bytes(content)
    return {"mediaType": media_type, "digest": str(digest), "size": len(content)}


def _read_object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise InvalidInput(f"The image has no readable {file.name}: {exc}") from exc
    if not isinstance(found, dict):
        raise InvalidInput(f"The image's {file.name} is not a JSON object")
    return found
