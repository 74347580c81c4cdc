"""A disk without a block left: what is advised then, makes room."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import PAAS, Result, loop_disk, run

pytestmark = pytest.mark.integration


@pytest.fixture
def disk() -> Iterator[Path]:
    with loop_disk(16) as directory:
        yield directory


def paas(disk: Path, *argv: str) -> Result:
    """Run a command without a server."""
    env = {"PAAS_ROOT": str(disk / "lib"), "PAAS_RUN": str(disk.parent / "run"), "PAAS_ETC": str(disk.parent / "etc")}
    return run([PAAS, *argv], env=env)


def fill(disk: Path) -> None:
    """Write until the disk is full to the last block."""
    subprocess.run(["dd", "if=/dev/zero", f"of={disk / 'filler'}", "bs=1k"], capture_output=True)
    found = os.statvfs(disk)
    assert found.f_bavail == 0


def free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize("freeing", [("image:rm", "large:v1"), ("image:prune", "--cache")])
def test_room_can_be_made_on_a_disk_without_any(freeing: tuple[str, ...], disk: Path) -> None:
    (disk.parent / "large").write_bytes(os.urandom(4 << 20))
    with tarfile.open(disk.parent / "large.tar", "w") as tar:
        tar.add(disk.parent / "large", "large")
    paas(disk, "apps:create", "shop").expect()
    paas(disk, "image:import", str(disk.parent / "large.tar"), "large:v1").expect()
    paas(disk, "image:import", str(disk.parent / "large.tar"), "kept:v1", "--user", "other").expect()
    if freeing[0] == "image:prune":
        (disk / "lib/images/tags/docker.io%2Flibrary%2Flarge%3Av1").unlink()
    for file in (*(disk / "lib/images/images").iterdir(), *(disk / "lib/images/layers").iterdir()):
        os.utime(file, (0, 0))  # what is young is spared
    fill(disk)
    assert paas(disk, "apps:list").expect().stdout.split()[-1] == "shop"
    refused = paas(disk, "config:set", "shop", "A=" + "x" * 20_000)
    assert refused.code != 0 and "The disk is full" in refused.stderr
    paas(disk, *freeing).expect()
    assert free_bytes(disk) > 4 << 20
    assert "kept:v1" in paas(disk, "image:list").expect().stdout
    paas(disk, "config:set", "--no-restart", "shop", "A=1").expect()
