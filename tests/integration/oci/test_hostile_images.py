"""Images made to do harm, images cut short, a full disk and kill -9: refused or survived, and nothing wrong is ever visible."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import loop_disk, wait_until
from paas.errors import HostProblem, InvalidInput, PaasError
from paas.oci.archives import load_images, save_image
from paas.oci.layout import import_directory, import_rootfs_tar
from paas.oci.limits import UnpackLimits
from paas.oci.manifest import ImageConfig
from paas.oci.skopeo import Registries
from paas.oci.store import ImageStore
from registries import MANIFEST, blob, digest

pytestmark = pytest.mark.integration
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LIMITS = UnpackLimits(max_bytes=8 << 20, max_files=100)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def tar_of(*members: tuple[str, bytes, bytes]) -> bytes:
    """Return a tar of (type, name, content or link)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for kind, name, content in members:
            member = tarfile.TarInfo(name)  # type: ignore[arg-type]
            member.type = kind  # type: ignore[assignment]
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content.decode()
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def file(name: str, content: bytes = b"x") -> tuple[Any, ...]:
    return (tarfile.REGTYPE, name, content)


class Directory:
    """An image as skopeo's `dir:`, to be spoilt before it is written."""

    def __init__(self, path: Path, *layers: bytes, diff_ids: list[str] | None = None) -> None:
        self.path = path
        path.mkdir()
        rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers] if diff_ids is None else diff_ids}
        self.config: Any = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": rootfs}
        self.layers = [blob(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers]
        self.manifest: Any = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": self.layers}
        for layer in layers:
            (path / digest(layer).partition(":")[2]).write_bytes(layer)

    def write(self, *, config: bytes | None = None, manifest: bytes | None = None) -> Path:
        content = json.dumps(self.config).encode() if config is None else config
        self.manifest.setdefault("config", blob(content, CONFIG_TYPE))
        (self.path / digest(content).partition(":")[2]).write_bytes(content)
        (self.path / "manifest.json").write_bytes(manifest or json.dumps(self.manifest).encode())
        return self.path


def _other_config(image: Directory) -> None:
    content = json.dumps({**image.config, "author": "somebody else"}).encode()
    image.manifest["config"] = blob(b"what was promised", CONFIG_TYPE)
    (image.path / digest(b"what was promised").partition(":")[2]).write_bytes(content)


#: What is wrong -> how to make it so, and what the error says.
SPOILT: dict[str, tuple[Callable[[Directory], object], str]] = {
    "no layers named": (lambda i: i.config.pop("rootfs"), "does not name its layers"),
    "one layer too many": (lambda i: i.manifest["layers"].append(i.layers[0]), "2 layers, but its configuration names 1"),
    "one layer too few": (lambda i: i.manifest["layers"].clear(), "0 layers, but its configuration names 1"),
    "a wrong diff_id": (lambda i: i.config["rootfs"].update(diff_ids=[digest(b"other")]), "but its configuration says"),
    "a diff_id that is none": (lambda i: i.config["rootfs"].update(diff_ids=["../../etc"]), "is not a digest"),
    "a wrong size": (lambda i: i.layers[0].update(size=3), "but the manifest says 3"),
    "a size that is none": (lambda i: i.layers[0].update(size="big"), "malformed"),
    "a digest that is a path": (lambda i: i.layers[0].update(digest="sha256:../../../../etc/passwd"), "is not a digest"),
    "a missing blob": (lambda i: (i.path / str(i.layers[0]["digest"])[7:]).unlink(), "lacks the layer"),
    "a blob that is a directory": (
        lambda i: ((b := i.path / str(i.layers[0]["digest"])[7:]).unlink(), b.mkdir()), "lacks the layer"),
    "another configuration": (_other_config, "not the one that its manifest names"),
    "layers that are a number": (lambda i: i.manifest.update(layers=7), "malformed"),
    "an artifact": (lambda i: i.manifest.update(config=blob(b"{}", "application/vnd.helm.config.v1+json")), "no container image"),
    "an image for windows": (lambda i: i.config.update(os="windows"), "for windows, not for linux"),
    "a manifest bomb": (lambda i: i.manifest.update(layers=i.layers * 5000), "5000 layers"),
    "a nesting bomb": (lambda i: i.config.update(config={"Env": 5}), "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_an_image_whose_parts_do_not_fit_is_refused(case: str, store: ImageStore, tmp_path: Path) -> None:
    spoil, said = SPOILT[case]
    image = Directory(tmp_path / "image", tar_of(file("file")))
    spoil(image)
    with pytest.raises(InvalidInput, match=re.escape(said)):
        import_directory(store, image.write(), reference="evil", limits=LIMITS)
    assert (store.images(), store.layers(), store.tags(), store.leftovers()) == ((), (), {}, ())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000])
@pytest.mark.parametrize("part", ["config", "manifest"])
def test_what_is_no_json_object_is_refused(content: bytes, part: str, store: ImageStore, tmp_path: Path) -> None:
    image = Directory(tmp_path / "image", tar_of(file("file")))
    path = image.write(config=content) if part == "config" else image.write()
    if part == "manifest":
        (path / "manifest.json").write_bytes(content)
    with pytest.raises(InvalidInput):
        import_directory(store, path, limits=LIMITS)
    assert store.images() == store.layers() == ()


def test_a_layer_may_come_twice(store: ImageStore, tmp_path: Path) -> None:
    layer = tar_of(file("file"))
    image = import_directory(store, Directory(tmp_path / "image", layer, layer).write(), limits=LIMITS)
    assert [(store.layer_dir(i) / "file").read_text() for i in image.layers] == ["x", "x"]


def test_the_limits_are_for_all_layers_together(store: ImageStore, tmp_path: Path) -> None:
    layers = [tar_of(file(f"file{number}", b"x" * (3 << 20))) for number in range(3)]
    with pytest.raises(InvalidInput, match="unpacks to more than 8 MiB"):
        import_directory(store, Directory(tmp_path / "bytes", *layers).write(), limits=LIMITS)
    layers = [tar_of(*(file(f"{layer}-{number}") for number in range(60))) for layer in range(2)]
    with pytest.raises(InvalidInput, match="holds more than 100 files"):
        import_directory(store, Directory(tmp_path / "files", *layers).write(), limits=LIMITS)
    assert store.images() == ()


@pytest.mark.parametrize("style", ["gzip", "zstd", "xz", "bzip2"])
@pytest.mark.parametrize("shape", ["one file", "nothing but zeros", "behind the end"])
def test_a_small_file_does_not_fill_the_disk(style: str, shape: str, store: ImageStore, tmp_path: Path) -> None:
    """16 MiB of zeros are some kilobytes: in a member, in place of a tar, or after its end."""
    zeros = bytes(16 << 20)
    plain = {"one file": tar_of(file("zeros", zeros)), "nothing but zeros": zeros, "behind the end": tar_of(file("f")) + zeros}
    packed = subprocess.run([style, "-c"], input=plain[shape], capture_output=True, check=True).stdout
    assert len(packed) < 100_000
    image = Directory(tmp_path / "image", packed, diff_ids=[digest(plain[shape])])
    before = used_bytes(tmp_path)
    with pytest.raises(InvalidInput, match="unpacks to more than"):
        import_directory(store, image.write(), limits=LIMITS)
    assert used_bytes(tmp_path) - before < 1 << 20 and store.layers() == ()


def used_bytes(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("style", ["gzip", "zstd", "xz", "bzip2"])
def test_a_compressed_layer_that_is_cut_or_changed_is_refused(style: str, store: ImageStore, tmp_path: Path) -> None:
    plain = tar_of(file("file", os.urandom(100_000)))
    packed = subprocess.run([style, "-c"], input=plain, capture_output=True, check=True).stdout
    changed = packed[:50_000] + bytes(20) + packed[50_020:]
    for number, content in enumerate((packed[:-5], packed[:50_000], changed)):
        image = Directory(tmp_path / f"image-{number}", content, diff_ids=[digest(plain)])
        with pytest.raises(InvalidInput):
            import_directory(store, image.write(), limits=LIMITS)
    assert store.layers() == () and store.leftovers() == ()


def test_a_damaged_header_is_not_taken_for_the_end(store: ImageStore, tmp_path: Path) -> None:
    whole = tar_of(file("a", b"1" * 512), file("b"))
    spoilt = whole[:1024] + b"garbage!" + whole[1032:]
    with pytest.raises(InvalidInput, match="damaged or no tar"):
        import_directory(store, Directory(tmp_path / "image", spoilt).write(), limits=LIMITS)


def test_headers_do_not_fill_the_memory(store: ImageStore, tmp_path: Path) -> None:
    """A sparse file whose map alone is larger than the rest of the image."""
    member = tarfile.TarInfo("sparse")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}
    member.size = 7 << 20
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(b"9999999\n" + b"1\n" * (member.size // 2)))
    with pytest.raises(InvalidInput, match="header of"):
        import_directory(store, Directory(tmp_path / "image", stream.getvalue()).write(), limits=LIMITS)


def test_a_name_too_long_for_any_disk_is_the_archive_s_fault(store: ImageStore, tmp_path: Path) -> None:
    for number, name in enumerate(("x" * 300, "/".join(["d" * 200] * 30))):
        image = Directory(tmp_path / f"image-{number}", tar_of(file(name)))
        with pytest.raises(InvalidInput, match="what no disk can"):
            import_directory(store, image.write(), limits=LIMITS)
    assert store.leftovers() == ()


def test_devices_come_in_as_they_are_and_count_as_files(store: ImageStore, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo("dev/sda")
        member.type, member.devmajor, member.devminor, member.mode = tarfile.BLKTYPE, 8, 0, 0o666
        tar.addfile(member)
    image = import_directory(store, Directory(tmp_path / "image", stream.getvalue()).write(), limits=LIMITS)
    found = store.layer_dir(image.layers[0]) / "dev/sda"
    assert found.is_block_device() and os.major(found.stat().st_rdev) == 8
    assert store.root.stat().st_mode & 0o077 == 0, "nobody but root gets as far as to such a device"


# -- archives


def oci_archive(target: Path, image: Directory, *, entries: list[dict[str, Any]] | None = None, extra: bytes = b"") -> Path:
    """Write an OCI archive of one image, by hand."""
    image.write()
    manifest = (image.path / "manifest.json").read_bytes()
    index = {"schemaVersion": 2, "manifests": entries or [blob(manifest, MANIFEST)]}
    with tarfile.open(target, "w") as tar:
        for name, content in (
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", json.dumps(index).encode()),
            (f"blobs/sha256/{digest(manifest)[7:]}", manifest),
            *((f"blobs/sha256/{path.name}", path.read_bytes()) for path in image.path.iterdir() if path.name != "manifest.json"),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target


def test_an_archive_s_links_lead_to_no_file_of_this_machine(store: ImageStore, tmp_path: Path) -> None:
    """A blob that is a link to a secret, in an archive that names the secret's digest."""
    secret = tmp_path / "secret"
    secret.write_bytes(tar_of(file("secret")))
    image = Directory(tmp_path / "image", secret.read_bytes())
    blob_path = image.path / digest(secret.read_bytes())[7:]
    blob_path.unlink()
    archive = oci_archive(tmp_path / "image.tar", image)
    with tarfile.open(archive, "a") as tar:
        member = tarfile.TarInfo(f"blobs/sha256/{blob_path.name}")
        member.type, member.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(member)
    with pytest.raises(PaasError):
        load_images(store, archive)
    assert store.images() == ()


def test_an_archive_for_several_machines_gives_the_image_for_this_one(store: ImageStore, tmp_path: Path) -> None:
    image = Directory(tmp_path / "image", tar_of(file("file")))
    image.write()
    own = blob((image.path / "manifest.json").read_bytes(), MANIFEST)
    name = {"org.opencontainers.image.ref.name": "v1"}
    foreign = {**blob(b"not here", MANIFEST), "platform": {"os": "linux", "architecture": "s390x"}, "annotations": name}
    here = {**own, "platform": {"os": "linux", "architecture": ImageConfig().architecture}, "annotations": name}
    archive = oci_archive(tmp_path / "image.tar", image, entries=[foreign, here])
    (loaded,) = load_images(store, archive)
    assert loaded.config.cmd == ("sh",)
    with pytest.raises(InvalidInput, match="none of its images is for"):
        load_images(store, oci_archive(tmp_path / "other.tar", image, entries=[foreign, foreign]))


def test_a_compressed_archive_does_not_fill_the_disk(store: ImageStore, tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tar.gz"
    archive.write_bytes(gzip.compress(tar_of(file(f"blobs/sha256/{'0' * 64}", bytes(64 << 20)))))
    tight = Registries(limits=LIMITS)
    with pytest.raises(InvalidInput, match="unpacks to more than 8 MiB"):
        load_images(store, archive, registries=tight)
    assert store.leftovers() == () and not any((store.root / "transfers").iterdir())


@pytest.mark.parametrize("shape", ["[1]", "[{}]", '[{"Config": "../../../etc/passwd", "Layers": ["/etc/passwd"]}]', "{}", "[]"])
def test_a_docker_archive_that_is_none_is_refused(shape: str, store: ImageStore, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(shape)
        tar.addfile(member, io.BytesIO(shape.encode()))
    with pytest.raises(PaasError):
        load_images(store, tmp_path / "image.tar")
    assert store.images() == ()


def test_an_archive_whose_configuration_is_none_is_at_fault_itself(store: ImageStore, tmp_path: Path) -> None:
    parts = {"manifest.json": b'[{"Config": "c.json", "RepoTags": ["a:1"], "Layers": []}]', "c.json": b'{"config": {"User": 5}}'}
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(InvalidInput, match=r"Could not load .*User") as caught:
        load_images(store, tmp_path / "image.tar")
    assert "level=" not in caught.value.message and store.images() == ()


def test_a_directory_is_no_tar_to_import(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no regular file"):
        import_rootfs_tar(store, tmp_path)


# -- a full disk, and kill -9


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with loop_disk(32) as directory:
        yield directory


def test_a_full_disk_is_said_and_leaves_the_store_as_it_was(disk: Path, tmp_path: Path) -> None:
    elsewhere, store = ImageStore(tmp_path / "elsewhere"), ImageStore(disk / "images")
    small = import_rootfs_tar(store, written(tmp_path / "small.tar", tar_of(file("file"))), reference="small")
    large = written(tmp_path / "large.tar", tar_of(file("large", os.urandom(24 << 20)), file("more", os.urandom(24 << 20))))
    import_rootfs_tar(elsewhere, large, reference="large")
    save_image(elsewhere, "large", tmp_path / "archive.tar")
    for attempt in (
        lambda: import_rootfs_tar(store, large, reference="large"),
        lambda: load_images(store, tmp_path / "archive.tar"),
        lambda: save_image(elsewhere, "large", disk / "archive.tar"),
    ):
        with pytest.raises(HostProblem, match="disk is full"):
            attempt()
        assert store.images() == (small,) and store.tags() == {"small:latest": small.id}
        assert store.leftovers() == () and not any((store.root / "transfers").iterdir())
        assert not (disk / "archive.tar").exists()
    again = written(tmp_path / "again.tar", tar_of(file("again", bytes(8 << 20))))
    assert import_rootfs_tar(store, again, reference="again").id in {image.id for image in store.images()}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


#: When to kill: what is in the store by then.
MOMENTS: dict[str, Callable[[ImageStore], object]] = {
    "a transfer began": lambda store: some(store, "transfers/*"),
    "skopeo writes": lambda store: some(store, "transfers/*/image-0/*"),
    "a layer is being made": lambda store: some(store, "pending/*/diff"),
    "half of its files are there": lambda store: some(store, "pending/*/diff/d150"),
    "the layer is there": lambda store: some(store, "layers/*"),
    "the image is there": lambda store: some(store, "images/*.json"),
    "the tag is there": lambda store: some(store, "tags/*"),
}


def some(store: ImageStore, pattern: str) -> bool:
    return next(store.root.glob(pattern), None) is not None


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 300 files, saved."""
    directory = tmp_path_factory.mktemp("archive")
    content = tar_of(*(file(f"d{n}/file", os.urandom(20_000)) for n in range(300)))
    elsewhere = ImageStore(directory / "elsewhere")
    import_rootfs_tar(elsewhere, written(directory / "tar", content), reference="shop:v1")
    save_image(elsewhere, "shop:v1", directory / "archive.tar")
    return directory / "archive.tar"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_load_leaves_nothing_wrong(moment: str, archive: Path, store: ImageStore) -> None:
    pid = os.fork()
    if pid == 0:
        load_images(store, archive)
        os._exit(0)
    # A moment is short: on a busy machine nobody may have looked before the next ones came.
    wait_until(moment, lambda: MOMENTS[moment](store) or MOMENTS["the tag is there"](store))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until("what it started has ended", lambda: not users_of(store.root))
    for image in store.images():
        assert all((store.layer_dir(layer) / "d299/file").stat().st_size == 20_000 for layer in image.layers)
    store.prune()
    assert store.leftovers() == ()
    (loaded,) = load_images(store, archive)
    assert store.references(loaded.id) == ("shop:v1",)


def users_of(directory: Path) -> list[str]:
    """Return the processes that have the directory's name on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and str(directory).encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found
