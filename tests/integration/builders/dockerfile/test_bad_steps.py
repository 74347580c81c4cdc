"""Steps that would take the whole machine: each ends with a clear error, and leaves nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfile_yard import Yard
from engine_ground import engine_ground
from harness import loop_disk
from paas.builders.dockerfile.execution import MAX_OUTPUT_BYTES
from paas.errors import BuildFailed
from paas.model.container import Limits

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def nothing_is_left(yard: Yard) -> Iterator[None]:
    yield
    assert yard.leftovers() == []
    assert yard.engine.list() == ()
    assert yard.orphans() == ()
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    assert [mount for mount in mounts if mount.startswith(str(yard.paths.run / "containers"))] == []
    prefix = yard.settings.network_prefix
    links = [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(f"{prefix}v")]
    assert links == []


def test_a_step_that_forks_without_end_is_stopped_by_its_limit(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match=r"Dockerfile:2: .*too many processes: the build's limit was reached") as failed:
        yard.build("FROM debian:12\nRUN while :; do sleep 1000 & done\n", limits=Limits(pids=64))
    assert "fork" in " ".join(failed.value.output).lower()


def test_a_step_that_takes_all_memory_is_stopped_by_its_limit(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="out of memory: the build's memory limit was reached"):
        yard.build("FROM debian:12\nRUN perl -e '$x .= \"a\" x 10000000 while 1'\n", limits=Limits(memory_bytes=64 << 20))


def test_output_without_end_is_clipped_and_its_last_lines_are_told(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="exit code: 3") as failed:
        yard.build("FROM debian:12\nRUN yes | head -c 20000000; echo last words; exit 3\n")
    assert failed.value.output[-1] == "last words"
    said = "\n".join(yard.said)
    assert len(said) < MAX_OUTPUT_BYTES + 10_000
    assert "[output clipped, 8 MiB is the limit of one step]" in yard.said


def test_a_line_without_end_is_cut_into_pieces(yard: Yard) -> None:
    yard.build("FROM debian:12\nRUN head -c 3000000 /dev/zero | tr '\\0' x\n")
    assert max(map(len, yard.said)) <= 64 * 1024
    assert "\n".join(yard.said).count("x") > 2_900_000


def test_a_step_that_never_ends_is_stopped_while_it_prints(yard: Yard) -> None:
    with pytest.raises(BuildFailed, match="did not end within 2 s"):
        yard.build("FROM debian:12\nRUN yes\n", timeout_s=2)


def test_what_a_step_leaves_running_ends_with_it(yard: Yard) -> None:
    image = yard.build("FROM debian:12\nRUN sleep 6543 & echo done > /done\n")
    assert yard.tree(image).read_text("done") == "done\n"
    found = subprocess.run(["pgrep", "-f", "sleep 6543"], capture_output=True, text=True)
    assert found.stdout == ""


@pytest.fixture
def small() -> Iterator[Yard]:
    """A yard on a small disk of its own, with `busybox` as its base image."""
    with loop_disk(256) as disk, engine_ground(parent=disk) as ground:
        yield Yard(paths=ground.paths, settings=ground.settings, engine=ground.engine, store=ground.store)


#: Fills most of the disk at once and the rest slowly.
FILL = "fallocate -l 150M /a; while dd if=/dev/zero bs=1M count=1 2>/dev/null >> /b; do sleep 0.1; done"


def test_a_step_that_fills_the_disk_is_stopped_before_it_is_full(small: Yard, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM busybox\nRUN {FILL}\n')
    free = shutil.disk_usage(small.paths.root).free
    with pytest.raises(BuildFailed, match="Dockerfile:2: the step was stopped because it fills the disk"):
        small.build("", tree=tmp_path, inherits=False)
    assert small.leftovers() == []
    assert shutil.disk_usage(small.paths.root).free > free - (20 << 20)


def test_a_copy_that_does_not_fit_says_that_the_disk_is_full(small: Yard, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY large /large\n")
    before = small.store.layers()
    with pytest.raises(Exception, match="The disk is full"):
        small.build("", tree=tmp_path)
    assert small.leftovers() == []
    assert small.store.layers() == before


def test_links_of_a_stage_or_an_image_lead_nowhere_on_the_machine(yard: Yard) -> None:
    image = yard.build(
        """
        FROM debian:12 AS evil
        RUN ln -s ../../../../../../../etc /up && ln -s /proc/1/root /root-of-one && ln -s /up/passwd /twice && mkdir /d && \
            ln -s /etc /d/l
        FROM scratch
        COPY --from=evil /up/passwd /one
        COPY --from=evil /twice /two
        COPY --from=evil /d /d
        COPY --from=evil /etc/passwd /d/l/
        """
    )
    tree = yard.tree(image)
    of_image = yard.tree(yard.store.image("debian:12")).read_text("etc/passwd")
    assert of_image != Path("/etc/passwd").read_text()
    assert [tree.read_text(path) for path in ("one", "two", "etc/passwd")] == [of_image] * 3
    with pytest.raises(Exception, match='"/root-of-one/etc/shadow": not found'):
        yard.build("FROM debian:12 AS evil\nRUN ln -s /proc/1/root /root-of-one\nFROM scratch\n"
                   "COPY --from=evil /root-of-one/etc/shadow /x\n")  # fmt: skip
