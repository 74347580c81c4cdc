"""What becomes of a layer, and what the next build sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from paas.builders.buildpack.buildpack import Buildpack
from paas.builders.buildpack.changes import Change
from paas.builders.buildpack.plan import Detection
from paas.builders.buildpack.restore import (
    Kept,
    KeptLayer,
    LayerTypes,
    Verdict,
    cache_reference,
    forget_lost,
    load_kept,
    save_kept,
    verdict,
)
from paas.errors import BuildFailed
from paas.oci.store import ImageStore

LAUNCH, CACHED = LayerTypes(is_launch=True), LayerTypes(is_launch=True, is_cache=True)
BUILD, CACHE_ONLY = LayerTypes(is_build=True), LayerTypes(is_cache=True)
PYTHON = Buildpack(id="acme/python", version="1", api=(0, 10), directory="python")


def kept(types: LayerTypes, *, layer: str = "id", name: str = "venv") -> KeptLayer:
    return KeptLayer(buildpack=PYTHON.id, name=name, types=types, layer=layer, metadata='[metadata]\nkey = "1"\n')


@pytest.mark.parametrize(
    ("types", "change", "previous", "wanted"),
    [
        (CACHED, Change.CHANGED, None, Verdict.TAKE),
        (CACHED, Change.NONE, kept(CACHED), Verdict.REUSE),
        (CACHED, Change.CHANGED, kept(CACHED), Verdict.MERGE),
        (CACHED, Change.REPLACED, kept(CACHED), Verdict.TAKE),
        (LAUNCH, Change.NONE, kept(LAUNCH), Verdict.REUSE),  # never restored, kept by its metadata alone
        (LAUNCH, Change.CHANGED, kept(LAUNCH), Verdict.TAKE),  # nothing was below
        (LAUNCH, Change.NONE, kept(CACHED), Verdict.REUSE),
        (CACHE_ONLY, Change.REMOVED, kept(CACHE_ONLY), Verdict.DROP),
        (CACHE_ONLY, Change.NONE, None, Verdict.DROP),
        (BUILD, Change.CHANGED, None, Verdict.DROP),
        (LayerTypes(), Change.CHANGED, kept(CACHED), Verdict.DROP),  # types are not restored: silence ends a layer
    ],
)
def test_verdict_follows_types_and_change(
    types: LayerTypes, change: Change, previous: KeptLayer | None, wanted: Verdict
) -> None:
    assert verdict(types, change, previous, path="/layers/x/y") is wanted


@pytest.mark.parametrize(
    ("types", "change", "previous"),
    [
        (LAUNCH, Change.NONE, None),
        (LAUNCH, Change.REMOVED, kept(CACHED)),
        (CACHED, Change.NONE, kept(LAUNCH)),  # its files were never there to be cached
    ],
)
def test_launch_layer_without_files_fails_the_build(types: LayerTypes, change: Change, previous: KeptLayer | None) -> None:
    with pytest.raises(BuildFailed, match="/layers/x/y"):
        verdict(types, change, previous, path="/layers/x/y")


def test_only_cache_layers_are_restored_with_their_files() -> None:
    found = Kept(layers=(kept(CACHED, layer="a"), kept(LAUNCH, layer="b", name="b"), kept(CACHE_ONLY, layer="c", name="c")))
    assert found.restored_layers([PYTHON]) == ("a", "c")
    assert found.restored_layers([]) == ()


def test_metadata_and_store_come_back_to_their_buildpack_only() -> None:
    both = LayerTypes(is_launch=True, is_build=True)  # a build layer that is not cached has to be made anew
    found = Kept(layers=(kept(LAUNCH), kept(both, name="gone")), stores=((PYTHON.id, "[metadata]\n"),))
    assert found.restored_files(PYTHON) == {"venv.toml": '[metadata]\nkey = "1"\n', "store.toml": "[metadata]\n"}
    assert found.restored_files(Buildpack(id="other", version="1", api=(0, 10), directory="other")) == {}


def test_what_is_saved_is_loaded_and_held_by_the_store(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    with store.new_layer() as pending:
        layer = pending.commit()
    saved = Kept(layers=(kept(CACHED, layer=layer),), stores=(("a", "b = 1"),), detections=(Detection(buildpack="a", status=0),))
    save_kept(tmp_path / "cache", "shop.v2", saved, store)
    assert load_kept(tmp_path / "cache", store) == saved
    store.prune(grace_s=-1)
    assert store.has_layer(layer)
    assert store.image(cache_reference("shop.v2")).layers == (layer,)


def test_layer_that_left_the_store_is_forgotten(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    with store.new_layer() as pending:
        layer = pending.commit()
    save_kept(tmp_path, "shop", Kept(layers=(kept(CACHED, layer=layer),)), store)
    store.remove(cache_reference("shop"))
    store.prune(grace_s=-1)
    assert load_kept(tmp_path, store) == Kept()


def test_layers_of_apps_that_are_gone_are_let_go(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    for app in ("here", "gone"):
        save_kept(tmp_path / app, app, Kept(), store)
    store.create_image(store.image(cache_reference("here")).config, (), reference="debian:12")
    (tmp_path / "gone" / "buildpack.json").unlink()
    forget_lost(lambda app: tmp_path / app, store)
    assert set(store.tags()) == {cache_reference("here"), "debian:12"}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 0}', '{"format": 1, "layers": [{}], "stores": []}'])
def test_unreadable_file_means_a_build_from_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "buildpack.json").write_text(text)
    assert load_kept(tmp_path, ImageStore(tmp_path / "images")) == Kept()
