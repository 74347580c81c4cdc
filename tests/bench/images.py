"""How quick layers are unpacked, beside GNU tar, and how quick a store with 1,000 images is listed and inspected.

Usage: python tests/bench/images.py [rounds]      as root; needs 2 GB of disk, and 0.6 GB for each round.
The layer of a distribution is that of the tests' base image: run tests/run.sh once.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import STACK_IMAGES, loop_disk  # noqa: E402
from paas.oci.layer import pack_layer  # noqa: E402
from paas.oci.manifest import HistoryEntry, ImageConfig  # noqa: E402
from paas.oci.store import ImageStore  # noqa: E402
from paas.oci.unpack import unpack_layer  # noqa: E402

ROOT = Path(os.environ.get("PAAS_TEST_ROOT", "/var/tmp/paas-tests"))
MIB = 1 << 20
IMAGES = 1000


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def make_tar(base: Path, name: str, *, files: int, size: int) -> Path:
    """Write a tar of so many files, 100 in a directory, of bytes that do not compress."""
    tree = base / name
    for number in range(files):
        file = tree / f"d{number // 100}" / f"file-{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(size))
    subprocess.run(["tar", "-cf", f"{tree}.tar", "-C", tree, "."], check=True)
    shutil.rmtree(tree)
    return base / f"{name}.tar"


def pack_debian(base: Path) -> Path:
    """Write the root file system of the tests' base image as a tar, as it comes from a registry."""
    store, tar = ImageStore(STACK_IMAGES), base / "debian 12.tar"
    with tar.open("wb") as stream:
        pack_layer(store.layer_dir(store.image("debian:12").layers[0]), stream)
    return tar


def compressed(tar: Path, *argv: str, suffix: str) -> Path:
    packed = tar.with_name(tar.name + suffix)
    with packed.open("wb") as stream:
        subprocess.run([*argv, tar], stdout=stream, check=True)
    return packed


def compare(tar: Path, rounds: int) -> None:
    """Unpack in turn with GNU tar and with us, into a new directory each time, on an empty disk.

    ext4 looks for inodes that were not freed in the last minutes, one by one, which takes longer than all the rest.
    """
    works: dict[str, Callable[[Path], object]] = {
        "tar": lambda target: subprocess.run(["tar", "--xattrs", "-xf", str(tar), "-C", str(target)], check=True),
        "paas": lambda target: unpack_layer(tar, target),
    }
    taken: dict[str, list[float]] = {who: [] for who in works}
    with loop_disk(512 + rounds * 600) as disk:
        for number in range(rounds):
            for who, work in works.items():
                target = disk / f"{who}-{number}"
                target.mkdir()
                taken[who].append(seconds(partial(work, target)))
    theirs, ours = (statistics.median(taken[who]) for who in ("tar", "paas"))
    ratio = statistics.median(a / b for a, b in zip(taken["tar"], taken["paas"], strict=True))
    print(f"{tar.name:<18} GNU tar {theirs * 1000:7.0f} ms   paas {ours * 1000:7.0f} ms   speed {ratio:.2f} of tar's")


def fill(store: ImageStore) -> None:
    """Make 1,000 images of up to ten layers each, eleven steps, one reference each."""
    shared = []
    for number in range(20):
        with store.new_layer() as layer:
            (layer.diff / "file").write_text(str(number))
            shared.append(layer.commit())
    history = tuple(HistoryEntry(created_by=f"RUN step {step} of many") for step in range(10))
    env = tuple((f"NAME_{n}", "a value of some length") for n in range(8))
    for number in range(IMAGES):
        with store.new_layer() as layer:
            (layer.diff / "file").write_text(f"image {number}")
            top = layer.commit()
        config = ImageConfig(cmd=("run", str(number)), env=env, history=history)
        reference = f"registry.example.com/team/app{number % 50}:v{number}"
        store.create_image(config, [*shared[: number % 10], top], reference=reference)


def measure_store(base: Path, rounds: int) -> None:
    store = ImageStore(base / "images")
    fill(store)
    name = "registry.example.com/team/app7:v507"
    store.sync()  # as every deploy, pull and load does when it is done
    known = [f"{'first list':<26} {seconds(store.summaries) * 1000:7.1f} ms"]
    prefix = store.image(name).id[:12]

    def inspect(wanted: str) -> None:
        image = store.image(wanted)
        store.references(image.id)
        sum(store.layer_size(layer) for layer in image.layers)

    def list_after_a_change() -> float:
        store.tag(name, "another:tag")
        time.sleep(0.1)
        return seconds(store.summaries)

    def list_anew() -> float:
        (store.root / "listing.json").unlink()
        return seconds(store.summaries)

    works: dict[str, Callable[[], float]] = {
        "list": lambda: seconds(store.summaries),
        "list after a change": list_after_a_change,
        "list without the index": list_anew,
        "inspect by reference": lambda: seconds(lambda: inspect(name)),
        "inspect by short id": lambda: seconds(lambda: inspect(prefix)),
    }
    known += [f"{what:<26} {statistics.median(work() for _ in range(rounds)) * 1000:7.1f} ms" for what, work in works.items()]
    paas = Path(sys.executable).parent / "paas"
    env = {**os.environ, "PAAS_ROOT": str(base), "PAAS_RUN": str(base / "run"), "PAAS_ETC": str(base / "etc")}
    argv = [paas, "image:list"]
    whole = [seconds(lambda: subprocess.run(argv, env=env, check=True, capture_output=True)) for _ in range(rounds)]
    known.append(f"{'image:list, no server':<26} {statistics.median(whole) * 1000:7.1f} ms")
    print(f"\n{IMAGES} images\n" + "\n".join(known))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    base = Path(tempfile.mkdtemp(prefix="bench", dir=ROOT))
    try:
        small = make_tar(base, "20,000 of 10 KB", files=20_000, size=10_000)
        large = make_tar(base, "4 of 50 MB", files=4, size=50 * MIB)
        debian = pack_debian(base)
        for tar in (
            large, compressed(large, "gzip", "-1c", suffix=".gz"), small,
            debian, compressed(debian, "gzip", "-c", suffix=".gz"), compressed(debian, "zstd", "-qc", suffix=".zst"),
        ):  # fmt: skip
            compare(tar, rounds)
        measure_store(base, rounds)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
