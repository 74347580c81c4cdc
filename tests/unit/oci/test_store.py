from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from paas.errors import InvalidInput, NotFound
from paas.oci.layerstore import LINK_LENGTH
from paas.oci.manifest import ImageConfig
from paas.oci.store import GRACE_S, Image, ImageStore


class Clock:
    """The store's time; `pass_by` lets the grace of what is there now run out."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time

    def pass_by(self, seconds: float = GRACE_S + 60) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> ImageStore:
    return ImageStore(tmp_path / "images", now=clock)


def make_layer(store: ImageStore, content: str = "", *, key: str = "") -> str:
    with store.new_layer() as layer:
        (layer.diff / "file").write_text(content)
        return layer.commit(key)


def make_image(store: ImageStore, *, reference: str = "", user: str = "", layers: tuple[str, ...] = ()) -> Image:
    return store.create_image(ImageConfig(user=user), layers or (make_layer(store),), reference=reference)


def test_a_committed_layer_is_there_with_its_short_link(store: ImageStore) -> None:
    layer = make_layer(store, "content")
    assert (store.layer_dir(layer) / "file").read_text() == "content"
    assert len(store.layer_link(layer).name) == LINK_LENGTH
    assert store.layer_link(layer).resolve() == store.layer_dir(layer).resolve()
    assert (store.has_layer(layer), store.has_layer("0" * 32), store.has_layer("")) == (True, False, False)


def test_a_layer_has_the_mode_of_a_root_directory_and_nobody_looks_into_the_store(store: ImageStore) -> None:
    old = os.umask(0o077)
    try:
        layer = make_layer(store)
    finally:
        os.umask(old)
    assert store.layer_dir(layer).stat().st_mode & 0o777 == 0o755
    assert store.layer_dir(layer).parent.stat().st_mode & 0o077 == 0


def test_a_layer_that_fails_leaves_nothing(store: ImageStore) -> None:
    with pytest.raises(ValueError, match="broken"), store.new_layer() as layer:
        (layer.diff / "file").write_text("half")
        raise ValueError("broken")
    assert store.layers() == ()
    assert list((store.root / "pending").iterdir()) == list((store.root / "links").iterdir()) == []


def test_a_layer_is_found_by_its_content_key(store: ImageStore) -> None:
    layer = make_layer(store, key="RUN make\n" * 1000)
    assert store.find_layer("RUN make\n" * 1000) == layer
    assert store.find_layer("RUN make") is None


def test_the_latest_layer_has_the_content_key(store: ImageStore) -> None:
    make_layer(store, "1", key="key")
    second = make_layer(store, "2", key="key")
    assert store.find_layer("key") == second


def test_an_adopted_directory_becomes_a_layer(store: ImageStore, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "file").write_text("content")
    layer = store.adopt_layer(upper, content_key="key")
    assert not upper.exists()
    assert (store.layer_dir(layer) / "file").read_text() == "content"
    assert store.find_layer("key") == layer


def test_adopting_what_is_not_there_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.adopt_layer(tmp_path / "missing")
    assert store.layers() == () and list((store.root / "pending").iterdir()) == []


def test_an_image_is_found_by_every_name_it_has(store: ImageStore) -> None:
    image = make_image(store, reference="shop:v1")
    store.tag("shop:v1", "registry.example.com/shop")
    ids = (image.id, f"sha256:{image.id}", image.short_id)
    for name in ("shop:v1", "docker.io/library/shop:v1", "registry.example.com/shop", *ids):
        assert store.image(name) == image
    assert store.references(image.id) == ("registry.example.com/shop:latest", "shop:v1")


@pytest.mark.parametrize("name", ["shop", "shop:v2", "ab", "f" * 64, "", "no/such image", "../images/x"])
def test_an_unknown_image_is_not_found(store: ImageStore, name: str) -> None:
    make_image(store, reference="shop:v1")
    with pytest.raises(NotFound):
        store.image(name)
    assert store.find_image(name) is None


def test_an_ambiguous_beginning_of_an_id_is_refused(store: ImageStore) -> None:
    (store.root / "images").mkdir(parents=True)
    for last in "01":
        (store.root / "images" / f"abcdef{last}{'0' * 57}.json").write_text("{}")
    with pytest.raises(InvalidInput, match="2 image ids"):
        store.image("abcdef")


def test_a_config_comes_back_as_it_was_stored(store: ImageStore) -> None:
    config = ImageConfig(env=(("A", "b=c"),), cmd=("run", "it"), exposed_ports=("80/tcp",))
    layer = make_layer(store)
    image = store.create_image(config, [layer, layer])
    assert (store.image(image.id).config, store.image(image.id).layers) == (config, (layer, layer))


def test_the_same_config_on_the_same_layers_is_the_same_image(store: ImageStore, clock: Clock) -> None:
    image = make_image(store)
    clock.pass_by()
    assert make_image(store, layers=image.layers) == image
    assert make_image(store, layers=image.layers, user="web").id != image.id


def test_an_image_of_missing_layers_is_refused(store: ImageStore) -> None:
    with pytest.raises(NotFound):
        store.create_image(ImageConfig(), ["0" * 32], reference="shop")
    assert store.images() == () and store.tags() == {}


def test_a_reference_moves_to_the_image_that_takes_it(store: ImageStore) -> None:
    old = make_image(store, reference="shop", user="1")
    new = make_image(store, reference="shop", user="2")
    assert store.tags() == {"shop:latest": new.id}
    assert store.image(old.id) == old


def test_untagging_keeps_the_image_and_removing_takes_its_references(store: ImageStore) -> None:
    image = make_image(store, reference="shop:1")
    store.tag(image.id, "shop:2")
    store.untag("shop:1")
    assert store.references(image.id) == ("shop:2",)
    with pytest.raises(NotFound):
        store.untag("shop:1")
    store.remove("shop:2")
    assert store.images() == () and store.tags() == {}


def test_prune_removes_what_nothing_names_and_keeps_the_rest(store: ImageStore, clock: Clock) -> None:
    tagged, kept, lost = (make_image(store, user=str(n)) for n in range(3))
    store.tag(tagged.id, "shop")
    clock.pass_by()
    assert store.prune(keep=[kept.id]) == (lost.id,)
    assert {image.id for image in store.images()} == {tagged.id, kept.id}
    assert set(store.layers()) == {*tagged.layers, *kept.layers}
    assert {link.name for link in (store.root / "links").iterdir()} == {layer[:LINK_LENGTH] for layer in store.layers()}


def test_prune_keeps_layers_that_another_image_uses(store: ImageStore, clock: Clock) -> None:
    shared = make_layer(store)
    make_image(store, layers=(shared,), user="lost")
    make_image(store, layers=(shared, make_layer(store)), reference="shop")
    clock.pass_by()
    assert len(store.prune()) == 1
    assert store.has_layer(shared)


def test_prune_spares_what_is_young(store: ImageStore) -> None:
    image = make_image(store)
    layer = make_layer(store)
    assert store.prune() == ()
    assert store.image(image.id) and store.has_layer(layer)


def test_prune_spares_an_image_that_was_made_again(store: ImageStore, clock: Clock) -> None:
    image = make_image(store)
    clock.pass_by()
    make_image(store, layers=image.layers)
    assert store.prune() == ()


def test_the_step_cache_is_kept_up_to_its_bound_the_last_used_first(store: ImageStore, clock: Clock) -> None:
    found, forgotten, other = (make_layer(store, key=key) for key in ("found", "forgotten", "other"))
    image = make_image(store, layers=(make_layer(store, key="in an image"),), reference="shop")
    clock.pass_by()
    assert store.find_layer("found") == found
    assert store.find_layer("other") == other
    clock.pass_by()
    store.prune()
    assert all(map(store.has_layer, (found, forgotten, other)))
    store.prune(cache_bytes=20_000)
    assert [store.has_layer(layer) for layer in (found, forgotten, other, *image.layers)] == [True, False, True, True]
    assert store.find_layer("forgotten") is None
    assert len(list((store.root / "keys").iterdir())) == 3


def test_a_step_that_was_just_used_is_spared_even_beyond_the_bound(store: ImageStore, clock: Clock) -> None:
    layer = make_layer(store, key="step")
    store.prune(cache_bytes=0)
    assert store.has_layer(layer)
    store.prune(cache_bytes=0, cache_grace_s=-1)
    assert not store.has_layer(layer)


def test_what_is_held_is_not_pruned(store: ImageStore, clock: Clock) -> None:
    layer, other = make_layer(store, key="step"), make_layer(store)
    clock.pass_by()
    with store.hold() as hold:
        hold((layer, other))
        store.prune(cache_bytes=0)
        assert store.has_layer(layer) and store.has_layer(other)
    store.prune(cache_bytes=0)
    assert store.layers() == ()
    with store.hold() as hold, pytest.raises(NotFound):
        hold((layer,))


def test_layers_below_outlive_those_above_them(store: ImageStore, clock: Clock) -> None:
    below, above = make_layer(store, key="below"), make_layer(store, key="above")
    clock.pass_by()
    store.touch((below, above))
    clock.pass_by()
    store.prune(cache_bytes=10_000)
    assert (store.has_layer(below), store.has_layer(above)) == (True, False)


def test_a_reproducible_layer_is_called_after_its_key_and_stored_once(store: ImageStore, tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        with store.new_layer() as pending:
            (pending.diff / "file").write_text("x")
            made.append(pending.commit("a copy", is_reproducible=True))
    elsewhere = ImageStore(tmp_path / "elsewhere")
    with elsewhere.new_layer() as pending:
        made.append(pending.commit("a copy", is_reproducible=True))
    assert len(set(made)) == 1
    assert store.layers() == (made[0],)
    assert list((store.root / "pending").iterdir()) == []
    assert store.layer_link(made[0]).resolve() == store.layer_dir(made[0])


def test_prune_spares_layers_being_made_and_removes_those_of_dead_makers(store: ImageStore) -> None:
    with store.new_layer() as alive:
        dead = store.root / "pending" / "deadbeef"
        (dead / "diff").mkdir(parents=True)
        (dead / "diff" / "file").write_text("left")
        for pending in (dead, alive.diff.parent):
            os.utime(pending, (0, 0))
        store.prune()
        assert alive.diff.is_dir() and not dead.exists()


def test_a_lock_of_a_pending_layer_ends_with_it(store: ImageStore) -> None:
    layer = make_layer(store)
    descriptor = os.open(store.layer_dir(layer).parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_leftovers_of_dead_transfers_are_pruned(store: ImageStore) -> None:
    dead = store.root / "transfers" / "dead"
    dead.mkdir(parents=True)
    (dead / "blob").write_text("x")
    with store.transfer() as alive:
        assert [found.description for found in store.leftovers()] == ["the files of transfer dead"]
        store.prune()
        assert alive.is_dir() and not dead.exists()
    assert store.leftovers() == () and not alive.exists()


def test_sizes_are_of_the_disk_and_remembered(store: ImageStore) -> None:
    layer = make_layer(store, "x" * 10_000)
    size = store.layer_size(layer)
    assert 10_000 < size < 100_000
    (store.layer_dir(layer) / "file").unlink()
    assert store.layer_size(layer) == size


@pytest.mark.parametrize("record", ["", "{", "{}"])
def test_a_record_that_a_power_cut_truncated_is_no_image(store: ImageStore, record: str) -> None:
    image = make_image(store, reference="shop")
    (store.root / "images" / f"{image.id}.json").write_text(record)
    assert store.find_image("shop") is None and store.images() == ()
    assert make_image(store, layers=image.layers, reference="shop").id == image.id
    assert store.image("shop").layers == image.layers


def test_an_empty_store_has_nothing(store: ImageStore) -> None:
    assert (store.images(), store.layers(), store.tags(), store.prune()) == ((), (), {}, ())
    assert store.find_layer("key") is None
    assert store.find_image("shop") is None


def test_threads_may_share_a_store(store: ImageStore) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                layer = make_layer(store, f"{number} {turn}", key=f"key {turn}")
                store.create_image(ImageConfig(user=f"{number}"), [layer], reference=f"shop:{turn % 3}")
                assert store.find_layer(f"key {turn}")
                store.images()
                store.prune()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.images()) == 120
    assert set(store.tags()) == {"shop:0", "shop:1", "shop:2"}
