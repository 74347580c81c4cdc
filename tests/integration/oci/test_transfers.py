"""Images in and out of the store by skopeo: docker-archive, oci-archive, root file systems, and a registry that is not there."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from paas.errors import HostProblem, InvalidInput, NotFound
from paas.oci.archives import ArchiveFormat, load_images, save_image
from paas.oci.layout import import_directory, import_rootfs_tar, write_layout
from paas.oci.manifest import Healthcheck, HistoryEntry, ImageConfig
from paas.oci.registry import pull_image, push_image
from paas.oci.store import Image, ImageStore

pytestmark = pytest.mark.integration
CONFIG = ImageConfig(
    env=(("A", "b=c"),),
    entrypoint=("/entry",),
    cmd=("run",),
    exposed_ports=("5000/tcp",),
    labels=(("maintainer", "me"),),
    shell=("/bin/bash", "-c"),
    onbuild=("RUN make",),
    healthcheck=Healthcheck(test=("CMD", "true"), interval_s=2),
    history=(HistoryEntry(created_by="COPY . /"), HistoryEntry(created_by="CMD"), HistoryEntry(created_by="RUN rm")),
)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    """Another machine's store."""
    return ImageStore(tmp_path / "other")


@pytest.fixture
def image(store: ImageStore) -> Image:
    """Three layers: files, a change, a deletion."""
    layers = []
    for name, content in (("kept", "1"), ("changed", "2")):
        with store.new_layer() as layer:
            (layer.diff / "dir").mkdir()
            (layer.diff / "dir" / name).write_text(content)
            layers.append(layer.commit())
    with store.new_layer() as layer:
        (layer.diff / "dir").mkdir()
        subprocess.run(["mknod", layer.diff / "dir/kept", "c", "0", "0"], check=True)
        layers.append(layer.commit())
    return store.create_image(CONFIG, layers, reference="shop:v1")


def no_transfers(store: ImageStore) -> bool:
    return not any((store.root / "transfers").iterdir())


@pytest.mark.parametrize("kind", ArchiveFormat)
def test_a_saved_image_loads_as_it_was(
    kind: ArchiveFormat, store: ImageStore, other: ImageStore, image: Image, tmp_path: Path
) -> None:
    save_image(store, "shop:v1", tmp_path / "image.tar", kind=kind)
    (loaded,) = load_images(other, tmp_path / "image.tar")
    assert other.references(loaded.id) == ("shop:v1",)
    assert loaded.config == CONFIG
    assert [sorted(p.name for p in other.layer_dir(i).rglob("*")) for i in loaded.layers] == [
        ["dir", "kept"], ["changed", "dir"], ["dir", "kept"],
    ]  # fmt: skip
    assert (other.layer_dir(loaded.layers[0]) / "dir/kept").read_text() == "1"
    assert (other.layer_dir(loaded.layers[2]) / "dir/kept").is_char_device()
    assert store.leftovers() == other.leftovers() == () and no_transfers(store) and no_transfers(other)


def test_loading_again_makes_nothing_new(store: ImageStore, other: ImageStore, image: Image, tmp_path: Path) -> None:
    save_image(store, "shop:v1", tmp_path / "image.tar")
    first = load_images(other, tmp_path / "image.tar")
    assert load_images(other, tmp_path / "image.tar") == first
    assert len(other.layers()) == 3


def test_an_archive_of_several_images_is_loaded_whole(store: ImageStore, other: ImageStore, image: Image, tmp_path: Path) -> None:
    docker = tmp_path / "both.tar"
    store.create_image(ImageConfig(cmd=("other",)), image.layers[:1], reference="blog:v2")
    for number, name in enumerate(("shop:v1", "blog:v2")):
        save_image(store, name, tmp_path / f"{number}.tar")
    merge_archives(docker, [tmp_path / "0.tar", tmp_path / "1.tar"])
    assert [other.references(loaded.id) for loaded in load_images(other, docker)] == [("shop:v1",), ("blog:v2",)]


def merge_archives(target: Path, parts: list[Path]) -> None:
    """Write one docker-archive with the images of several, as `docker save a b` does."""
    unpacked = target.with_suffix("")
    manifests = []
    for part in parts:
        with tarfile.open(part) as tar:
            tar.extractall(unpacked)
        manifests += json.loads((unpacked / "manifest.json").read_text())
    (unpacked / "manifest.json").write_text(json.dumps(manifests))
    with tarfile.open(target, "w") as tar:
        tar.add(unpacked, ".")


def test_layers_compressed_with_zstd_are_loaded(store: ImageStore, other: ImageStore, image: Image, tmp_path: Path) -> None:
    write_layout(store, image, tmp_path / "layout")
    argv = ["skopeo", "copy", "--dest-compress-format=zstd", "--dest-compress", f"oci:{tmp_path / 'layout'}"]
    subprocess.run([*argv, f"dir:{tmp_path / 'zstd'}"], check=True, capture_output=True)
    argv = ["skopeo", "copy", f"dir:{tmp_path / 'zstd'}", f"oci-archive:{tmp_path / 'z.tar'}"]
    subprocess.run(argv, check=True, capture_output=True)
    manifest = json.loads((tmp_path / "zstd" / "manifest.json").read_text())
    assert {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]} == {"zstd"}
    (loaded,) = load_images(other, tmp_path / "z.tar")
    assert (other.layer_dir(loaded.layers[1]) / "dir/changed").read_text() == "2"


def test_a_layer_that_the_config_does_not_name_is_refused(
    store: ImageStore, other: ImageStore, image: Image, tmp_path: Path
) -> None:
    write_layout(store, image, tmp_path / "layout")
    target = tmp_path / "image"
    argv = ["skopeo", "copy", "--dest-decompress", f"oci:{tmp_path / 'layout'}", f"dir:{target}"]
    subprocess.run(argv, check=True, capture_output=True)
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["layers"].reverse()
    (target / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidInput, match="but its configuration says"):
        import_directory(other, target)
    assert other.images() == ()


def test_what_is_no_image_archive_is_refused(other: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    with tarfile.open(tmp_path / "rootfs.tar", "w") as tar:
        tar.add(tmp_path / "text", "etc/passwd")
    for name in ("text", "rootfs.tar"):
        with pytest.raises(InvalidInput, match="no image archive"):
            load_images(other, tmp_path / name)
    with pytest.raises(NotFound):
        load_images(other, tmp_path / "missing")
    assert other.images() == ()


def test_an_archive_cut_short_leaves_no_image(store: ImageStore, other: ImageStore, image: Image, tmp_path: Path) -> None:
    save_image(store, "shop:v1", tmp_path / "image.tar")
    content = (tmp_path / "image.tar").read_bytes()
    (tmp_path / "image.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises((InvalidInput, HostProblem)):
        load_images(other, tmp_path / "image.tar")
    assert other.images() == () and no_transfers(other)


@pytest.mark.parametrize("compress", [None, "gzip", "xz", "zstd"])
def test_a_root_file_system_becomes_an_image(compress: str | None, other: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    rootfs = tmp_path / "rootfs.tar"
    with tarfile.open(rootfs, "w") as tar:
        tar.add(tmp_path / "file", "etc/file")
    if compress:
        subprocess.run([compress, "-q", rootfs], check=True)
        rootfs = next(found for found in tmp_path.glob("rootfs.tar.*"))
    image = import_rootfs_tar(other, rootfs, reference="base", config=ImageConfig(cmd=("sh",)))
    assert (other.layer_dir(image.layers[0]) / "etc/file").read_text() == "content"
    assert other.image("base").config.cmd == ("sh",)
    assert {found.name for found in other.layer_dir(image.layers[0]).parent.iterdir()} == {"diff", "layer.json"}


def test_a_registry_that_does_not_answer_is_an_error_with_its_words(store: ImageStore, image: Image) -> None:
    with pytest.raises(HostProblem) as caught:
        pull_image(store, "127.0.0.1:1/shop:v1")
    assert caught.value.message == "Could not pull 127.0.0.1:1/shop:v1"
    assert "connection refused" in "\n".join(caught.value.output)
    with pytest.raises(HostProblem, match=r"Could not push 127\.0\.0\.1:1/shop:v1"):
        push_image(store, "shop:v1", "127.0.0.1:1/shop:v1")
    assert no_transfers(store)


def test_an_image_saved_by_its_id_keeps_its_reference(store: ImageStore, image: Image, tmp_path: Path) -> None:
    save_image(store, image.id, tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as tar:
        listing = tar.extractfile("manifest.json")
        assert listing is not None
        assert json.loads(listing.read())[0]["RepoTags"] == ["docker.io/library/shop:v1"]


def test_the_tools_are_there() -> None:
    assert [tool for tool in ("skopeo", "zstd", "mmdebstrap") if shutil.which(tool) is None] == []
