"""A built image's root file system as plain files or as a tar: what `--output` asks for. All layers as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from paas.builders.dockerfile.scratch import Scratch
from paas.builders.dockerfile.tree import LayeredTree
from paas.builders.dockerfile.writer import LayerWriter, attributes_of
from paas.oci.layer import pack_layer
from paas.oci.store import Image, ImageStore


def export_files(store: ImageStore, image: Image, directory: Path) -> None:
    """Write all files below a directory, as root's; what is there under the same names is replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(store, image, LayerWriter(directory, ()), keeps_owners=False)


def export_tar(store: ImageStore, image: Image, stream: BinaryIO, scratch: Scratch) -> None:
    """Write all files as one tar."""
    flat = scratch.new_directory()
    _write(store, image, LayerWriter(flat, ()), keeps_owners=True)
    pack_layer(flat, stream)


def _write(store: ImageStore, image: Image, writer: LayerWriter, *, keeps_owners: bool) -> None:
    tree = LayeredTree([store.layer_dir(layer) for layer in reversed(image.layers)])
    for entry in tree.walk(""):
        attributes = attributes_of(entry)
        if not keeps_owners:
            attributes = replace(attributes, uid=0, gid=0)
        if entry.is_directory:
            writer.directory(entry.path, attributes, overwrites=True)
        else:
            writer.copy(entry, entry.path, attributes)
    writer.finish()
