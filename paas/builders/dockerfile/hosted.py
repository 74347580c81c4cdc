"""The host's package-manager configuration in RUN: variables, mounts, and a layer of files that is left out again.

apt's files and the CA bundle are no mounts: builds and packages write to them, which a mounted file does not allow. They
lie in a layer of their own, right below what the step changes. What the build itself has told apt wins over the host's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paas.builders.dockerfile.writer import Attributes, LayerWriter
from paas.builders.host_config import HostFile, apt_files, ca_files, host_config_env, host_config_mounts
from paas.model.container import Mount
from paas.oci.store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """What a step gets: its layers with the host's on top, mounts and variables."""

    layers: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    lent: tuple[HostFile, ...] = ()

    def clean(self, changes: Path) -> None:
        """Remove lent files from a step's changes: a `chmod -R` copies them up as they are."""
        for file in self.lent:
            copied = changes / file.target[1:]
            if copied.is_file() and not copied.is_symlink() and copied.read_bytes() == file.source.read_bytes():
                copied.unlink()


class HostedStep:
    """Lends the host's configuration to steps, if `is_on`."""

    def __init__(self, store: ImageStore, *, is_on: bool) -> None:
        self._store, self._is_on = store, is_on

    def prepare(self, base: Sequence[str], made: Sequence[str]) -> Hosted:
        """Return what a step gets on these layers, bottom first: those of the base image and those of this build."""
        if not self._is_on:
            return Hosted(layers=(*base, *made))
        below, own = ([self._store.layer_dir(layer) for layer in reversed(layers)] for layers in (base, made))
        untouched = (f for f in apt_files(below) if not any(os.path.lexists(layer / f.target[1:]) for layer in own))
        files = (*untouched, *ca_files((*own, *below)))
        lent = (self._layer(files, (*own, *below)),) if files else ()
        return Hosted(
            layers=(*base, *made, *lent), mounts=host_config_mounts(below, with_apt=False), env=host_config_env(), lent=files
        )  # fmt: skip

    def _layer(self, files: Sequence[HostFile], directories: Sequence[Path]) -> str:
        contents = [(file.target, file.source.read_bytes()) for file in files]
        digest = hashlib.sha256(repr(([str(d) for d in directories], contents)).encode()).hexdigest()
        known = self._store.find_layer(f"host-config:{digest}")
        if known is not None:
            return known
        with self._store.new_layer() as pending:
            writer = LayerWriter(pending.diff, directories)
            for file in files:
                with file.source.open("rb") as content:
                    writer.file(file.target.strip("/"), content, Attributes(mode=0o644))
            return pending.commit(content_key=f"host-config:{digest}")
