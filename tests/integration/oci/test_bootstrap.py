"""A stack from real packages: small, but made the same way as the ones that are shipped."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paas.errors import HostProblem
from paas.host.run import run
from paas.oci import bootstrap
from paas.oci.apt import AptSource
from paas.oci.bootstrap import build_stack
from paas.oci.layer import is_whiteout
from paas.oci.stacks import Stack, find_stack, host_release
from paas.oci.store import Image, ImageStore

pytestmark = pytest.mark.integration
STACKS = Path(__file__).parents[3] / "buildpacks" / "stacks"


def small_stack() -> Stack:
    """Return this machine's own release with next to nothing in it."""
    host = host_release()
    stack = find_stack(STACKS, f"{host.distribution}-{host.version}")
    base, run_image = stack.images[:2]
    images = (
        dataclasses.replace(base, references=("test/base",), packages=("ca-certificates",)),
        dataclasses.replace(run_image, references=("test/more", "test/alias"), packages=("netbase",)),
    )
    return dataclasses.replace(stack, images=images)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("stack") / "images")


@pytest.fixture(scope="module")
def images(store: ImageStore) -> Iterator[tuple[Image, ...]]:
    """Both images, made with a password in the host's sources."""
    etc_apt = store.root.parent / "apt"
    run(["cp", "--archive", "/etc/apt", str(etc_apt)])
    for file in (*etc_apt.glob("sources.list"), *etc_apt.glob("sources.list.d/*")):
        file.write_text(file.read_text().replace("http://", "http://someone:hunter2@"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "ETC_APT", etc_apt)
        yield build_stack(store, small_stack(), on_step=lambda _: None, on_line=lambda _: None)


def test_each_image_is_one_layer_on_the_one_before(store: ImageStore, images: tuple[Image, ...]) -> None:
    base, more = images
    assert len(base.layers) == 1 and more.layers[0] == base.layers[0] and len(more.layers) == 2
    assert store.tags() == {"test/base:latest": base.id, "test/more:latest": more.id, "test/alias:latest": more.id}


def test_the_first_layer_is_a_root_file_system(store: ImageStore, images: tuple[Image, ...]) -> None:
    root = store.layer_dir(images[0].layers[0])
    assert (root / "usr/bin/apt-get").is_file() and (root / "etc/ssl/certs/ca-certificates.crt").is_file()
    assert list((root / "dev").iterdir()) == list((root / "tmp").iterdir()) == []
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert not [path for path in root.rglob("*.deb")]


def test_the_second_layer_has_only_what_was_added(store: ImageStore, images: tuple[Image, ...]) -> None:
    root = store.layer_dir(images[1].layers[1])
    assert (root / "etc/protocols").is_file()
    assert not (root / "usr/bin/apt-get").exists()
    assert not [path for path in root.rglob("*") if is_whiteout(path.lstat())]
    assert store.layer_size(images[1].layers[1]) < 20_000_000


def test_nothing_of_this_host_stays_in_the_layers(store: ImageStore, images: tuple[Image, ...]) -> None:
    for layer in images[1].layers:
        root = store.layer_dir(layer)
        for name in ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap"):
            assert not (root / name).exists(), name
        for file in (path for path in (root / "etc").rglob("*") if path.is_file()):
            assert b"hunter2" not in file.read_bytes(), file


def test_the_image_has_the_host_s_sources_without_the_password(store: ImageStore, images: tuple[Image, ...]) -> None:
    sources = list((store.layer_dir(images[0].layers[0]) / "etc/apt/sources.list.d").iterdir())
    assert [source.name for source in sources] == [f"{host_release().distribution}.sources"]
    text = sources[0].read_text()
    assert text.startswith("Types: deb\nURIs: http://") and "@" not in text and host_release().codename in text


def test_a_release_that_no_mirror_has_fails_with_apt_s_words_and_leaves_nothing(tmp_path: Path) -> None:
    stack = dataclasses.replace(small_stack(), suite="no-such-release", sources=(AptSource(
        uris=("http://127.0.0.1:1/debian",), suites=("no-such-release",), components=("main",),
    ),))  # fmt: skip
    store = ImageStore(tmp_path / "images")
    with pytest.raises(HostProblem, match="mmdebstrap failed") as caught:
        build_stack(store, stack, on_step=lambda _: None, on_line=lambda _: None)
    assert "no-such-release" in "\n".join(caught.value.output)
    assert store.images() == () and store.layers() == () and list((store.root / "pending").iterdir()) == []


def test_a_killed_build_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from paas.oci.bootstrap import build_stack; from paas.oci.store import ImageStore;"
        "from paas.oci.stacks import find_stack; quiet = lambda _: None;"
        "build_stack(ImageStore(Path(sys.argv[1])), find_stack(Path(sys.argv[2]), sys.argv[3]), on_step=quiet, on_line=quiet)"
    )
    host = host_release()
    argv = [sys.executable, "-c", program, str(tmp_path), str(STACKS), f"{host.distribution}-{host.version}"]
    build = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: any(tmp_path.glob("pending/*/diff/etc")))
    build.kill()
    build.wait()
    wait_until(lambda: processes_that_name(tmp_path) == [])
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    for pending in (tmp_path / "pending").iterdir():
        os.utime(pending, (0, 0))
    ImageStore(tmp_path).prune()
    assert list((tmp_path / "pending").iterdir()) == []


def processes_that_name(directory: Path) -> list[bytes]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes())
    return [cmdline for cmdline in found if str(directory).encode() in cmdline]


def wait_until(is_so: Callable[[], bool], *, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


def test_a_missing_key_is_an_error_that_names_its_package(tmp_path: Path) -> None:
    source = AptSource(
        uris=("http://127.0.0.1:1/",), suites=("x",), components=("main",), options=(("Signed-By", "/no/such/key.gpg"),)
    )
    stack = dataclasses.replace(small_stack(), distribution="other", sources=(source,))
    with pytest.raises(HostProblem, match="/no/such/key.gpg") as caught:
        build_stack(ImageStore(tmp_path), stack, on_step=lambda _: None, on_line=lambda _: None)
    assert caught.value.remedy == "apt-get install other-archive-keyring"
