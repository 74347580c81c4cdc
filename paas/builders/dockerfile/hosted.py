"""The host's package-manager configuration in RUN: variables, mounts, and apt's sources as a layer that is left out again.

apt's sources are no mounts: builds edit them (`sed -i`, `>>`), which a mounted file does not allow. They lie in a layer of
their own, right below what the step changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paas.builders.dockerfile.writer import Attributes, LayerWriter
from paas.builders.host_config import HostFile, apt_sources, host_config_env, host_config_mounts
from paas.model.container import Mount
from paas.oci.store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """What a step gets: its layers with the host's on top, mounts and variables."""

    layers: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class HostedStep:
    """Lends the host's configuration to steps, if `is_on`, and takes it back from what they changed."""

    def __init__(self, store: ImageStore, *, is_on: bool) -> None:
        self._store, self._is_on = store, is_on
        self._lent: tuple[HostFile, ...] = ()

    def prepare(self, layers: tuple[str, ...]) -> Hosted:
        """Return what a step on these layers (bottom first) gets."""
        if not self._is_on:
            return Hosted(layers=layers)
        directories = tuple(self._store.layer_dir(layer) for layer in reversed(layers))
        self._lent = apt_sources(directories)
        lent = (self._layer(directories),) if self._lent else ()
        return Hosted(layers=(*layers, *lent), mounts=host_config_mounts(directories), env=host_config_env())

    def clean(self, changes: Path) -> None:
        """Remove lent files from a step's changes: a `chmod -R` copies them up as they are."""
        for file in self._lent:
            copied = changes / file.target[1:]
            if copied.is_file() and not copied.is_symlink() and copied.read_bytes() == file.source.read_bytes():
                copied.unlink()

    def _layer(self, directories: Sequence[Path]) -> str:
        contents = [(file.target, file.source.read_bytes()) for file in self._lent]
        digest = hashlib.sha256(repr(([str(d) for d in directories], contents)).encode()).hexdigest()
        known = self._store.find_layer(f"host-config:{digest}")
        if known is not None:
            return known
        with self._store.new_layer() as pending:
            writer = LayerWriter(pending.diff, directories)
            for file in self._lent:
                with file.source.open("rb") as content:
                    writer.file(file.target.strip("/"), content, Attributes(mode=0o644))
            return pending.commit(content_key=f"host-config:{digest}")
