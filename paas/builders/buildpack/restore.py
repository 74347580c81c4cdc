"""What one build leaves for the next: which layer of which buildpack is which layer of the image store, and why.

A JSON file in the app's cache directory; the layers themselves stay in the image store, held by an image that is tagged
with `cache_reference`. Delete the file and the next build starts afresh.

Source: buildpack spec, "Phase #2: Analysis", "Layer Types".
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from paas.builders.buildpack.buildpack import Buildpack
from paas.builders.buildpack.changes import Change
from paas.builders.buildpack.plan import Detection
from paas.errors import BuildFailed, NotFound
from paas.host.files import atomic_write
from paas.oci.manifest import ImageConfig
from paas.oci.store import ImageStore

#: Raise it when the file's meaning changes: older ones are ignored.
FORMAT = 1
_REPOSITORY = "paas/build-cache:"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTypes:
    """The [types] of a layer's TOML file."""

    is_launch: bool = False
    is_build: bool = False
    is_cache: bool = False

    @classmethod
    def from_toml(cls, table: Mapping[str, object]) -> LayerTypes:
        """Read the [types] table; what is missing is false."""
        return cls(
            is_launch=table.get("launch") is True,
            is_build=table.get("build") is True,
            is_cache=table.get("cache") is True,
        )

    @property
    def is_kept(self) -> bool:
        """Say whether the next build may see anything of it."""
        return self.is_launch or self.is_cache

    @property
    def is_restored(self) -> bool:
        """Say whether the next build sees its files; otherwise at most its metadata."""
        return self.is_cache

    def may_stay(self, now: LayerTypes) -> bool:
        """Say whether a layer of these types that the build did not touch is good for the types it has now."""
        return self.is_restored or (self.is_reusable_unseen and now.is_reusable_unseen)

    @property
    def is_reusable_unseen(self) -> bool:
        """Say whether a build may keep the layer without having its files."""
        return self.is_launch and not self.is_build and not self.is_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLayer:
    """A layer of the last build. `layer` is its id in the image store, `metadata` its [metadata] as TOML text."""

    buildpack: str
    name: str
    types: LayerTypes
    layer: str
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """All that is kept. `stores` are the store.toml texts by buildpack id, `detections` what every buildpack said."""

    layers: tuple[KeptLayer, ...] = ()
    stores: tuple[tuple[str, str], ...] = ()
    detections: tuple[Detection, ...] = ()

    def find(self, buildpack: str, name: str) -> KeptLayer | None:
        """Return a buildpack's layer by its name."""
        return next((kept for kept in self.layers if kept.buildpack == buildpack and kept.name == name), None)

    def restored_layers(self, buildpacks: Sequence[Buildpack]) -> tuple[str, ...]:
        """Return the store's layers that the build sees at /layers."""
        ids = {buildpack.id for buildpack in buildpacks}
        return tuple(kept.layer for kept in self.layers if kept.types.is_restored and kept.buildpack in ids)

    def restored_files(self, buildpack: Buildpack) -> dict[str, str]:
        """Return the TOML files that the buildpack finds in its layers directory; [types] is not restored."""
        files = {
            f"{kept.name}.toml": kept.metadata
            for kept in self.layers
            if kept.buildpack == buildpack.id and (kept.types.is_restored or kept.types.is_reusable_unseen)
        }
        if text := dict(self.stores).get(buildpack.id):
            files["store.toml"] = text
        return files


class Verdict(StrEnum):
    """Where a layer of the new image comes from."""

    DROP = "drop"  # nothing of it is kept
    REUSE = "reuse"  # the store's layer of the last build
    TAKE = "take"  # the directory that the build left
    MERGE = "merge"  # that directory on top of the store's layer


def verdict(types: LayerTypes, change: Change, previous: KeptLayer | None, *, path: str) -> Verdict:
    """Decide about one layer. Raises BuildFailed when it should be launched but has no files."""
    if not types.is_kept:
        return Verdict.DROP
    if change is Change.REPLACED:
        return Verdict.TAKE
    if change is Change.CHANGED:
        return Verdict.MERGE if previous is not None and previous.types.is_restored else Verdict.TAKE
    if change is Change.NONE and previous is not None and previous.types.may_stay(types):
        return Verdict.REUSE
    if types.is_launch:
        raise BuildFailed(f"A buildpack declares the layer {path} but left no such directory")
    return Verdict.DROP


def load_kept(cache: Path, store: ImageStore) -> Kept:
    """Read what the last build left, nothing when there was none or when its layers are gone."""
    try:
        document = json.loads(_file(cache).read_bytes())
        if document["format"] != FORMAT:
            return Kept()
        layers = tuple(KeptLayer(**{**entry, "types": LayerTypes(**entry["types"])}) for entry in document["layers"])
        stores = tuple((str(name), str(text)) for name, text in document["stores"])
        detections = tuple(Detection(**entry) for entry in document["detections"])
    except (OSError, ValueError, KeyError, TypeError):
        return Kept()  # a build from nothing is always right
    return Kept(layers=tuple(kept for kept in layers if store.has_layer(kept.layer)), stores=stores, detections=detections)


def save_kept(cache: Path, app: str, kept: Kept, store: ImageStore) -> None:
    """Write what the next build needs, and make the store hold on to the layers."""
    document = {"format": FORMAT, **asdict(kept)}
    atomic_write(_file(cache), json.dumps(document), mode=0o600)
    layers = tuple(dict.fromkeys(layer.layer for layer in kept.layers))
    store.create_image(ImageConfig(), layers, reference=cache_reference(app))


def forget_lost(cache_of: Callable[[str], Path], store: ImageStore) -> None:
    """Let go of the layers of apps whose cache directory is gone: destroyed, renamed, or told to build afresh."""
    for reference in store.tags():
        app = reference.removeprefix(_REPOSITORY)
        if app != reference and not _file(cache_of(app)).exists():
            with contextlib.suppress(NotFound):  # another build was quicker
                store.untag(reference)


def cache_reference(app: str) -> str:
    """Return the tag of the image that holds the app's kept layers."""
    return f"{_REPOSITORY}{app}"


def _file(cache: Path) -> Path:
    return cache / "buildpack.json"
