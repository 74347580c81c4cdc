"""The list of images is the same whether it was read before, or never, and no damage to what is kept of it shows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paas.oci.listing import ImageSummary
from paas.oci.manifest import ImageConfig
from paas.oci.store import ImageStore

#: What happens to a store; each with a number that names an image or a reference.
CHANGES = st.tuples(st.sampled_from(["create", "tag", "untag", "remove", "prune", "list", "wait"]), st.integers(0, 4))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def make_image(store: ImageStore, number: int) -> str:
    with store.new_layer() as layer:
        (layer.diff / "file").write_text("x" * number)
        layer_id = layer.commit(str(number), is_reproducible=True)
    return store.create_image(ImageConfig(user=str(number)), [layer_id], created_at=number).id


def settle(store: ImageStore) -> None:
    """Let the last change be a minute earlier."""
    for directory in (store.root / "images", store.root / "tags"):
        os.utime(directory, ns=(directory.stat().st_mtime_ns - 60_000_000_000,) * 2)


def read_anew(store: ImageStore) -> tuple[ImageSummary, ...]:
    """Tell the list from the records alone."""
    return tuple(
        ImageSummary(
            id=image.id, created_at=image.created_at, layers=image.layers,
            size=sum(map(store.layer_size, image.layers)), references=store.references(image.id),
        )
        for image in store.images()
    )  # fmt: skip


def change(store: ImageStore, what: str, number: int) -> None:
    ids, references = sorted(store.image_ids()), sorted(store.tags())
    match what:
        case "create":
            make_image(store, number)
        case "tag" if ids:
            store.tag(ids[number % len(ids)], f"name:{number}")
        case "untag" if references:
            store.untag(references[number % len(references)])
        case "remove" if ids:
            store.remove(ids[number % len(ids)])
        case "prune":
            store.prune(grace_s=-1)
        case "list":
            store.summaries()
        case "wait" if store.root.is_dir():
            settle(store)


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(CHANGES, max_size=12))
def test_the_list_says_what_the_records_say(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]]) -> None:
    store = ImageStore(tmp_path_factory.mktemp("store") / "images")
    for what, number in changes:
        change(store, what, number)
    assert store.summaries() == read_anew(store) == store.summaries()


@pytest.mark.parametrize("writer", ["sync", "prune"])
def test_who_lists_after_a_writer_with_time_to_spare_reads_no_record(store: ImageStore, writer: str) -> None:
    image = make_image(store, 1)
    store.tag(image, "name")
    getattr(store, writer)()
    (store.root / "images" / f"{image}.json").write_text("")
    assert [(found.id, found.references) for found in store.summaries()] == [(image, ("name:latest",))]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"stamp": [0, 0]}', '{"stamp": [], "images": [{"id": 1}]}'])
def test_a_damaged_list_is_read_anew(store: ImageStore, content: str) -> None:
    image = make_image(store, 1)
    store.summaries()
    (store.root / "listing.json").write_text(content)
    assert [found.id for found in store.summaries()] == [image]


def test_a_list_that_cannot_be_kept_is_told_and_leaves_nothing(store: ImageStore) -> None:
    image = make_image(store, 3)
    shutil.rmtree(store.root / "facts")
    (store.root / "listing.json").mkdir()
    before = sorted(store.root.iterdir())
    assert [(found.id, found.size) for found in store.summaries()] == [(image, 4096)]
    assert sorted(store.root.iterdir()) == before
