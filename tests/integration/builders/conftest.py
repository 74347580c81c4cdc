"""The laboratory that builder tests share."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder_lab import TENANT, Lab
from harness import STACK_IMAGES
from paas.engines.embedded.engine import EmbeddedEngine
from paas.oci.store import ImageStore
from paas.paths import Paths
from paas.settings import Settings

CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    assert STACK_IMAGES.is_dir(), f"{STACK_IMAGES} is missing: run tests/run.sh"
    base = Path(tempfile.mkdtemp(prefix="pb", dir="/tmp"))
    base.chmod(0o755)
    paths = Paths(root=base / "lib", run=base / "run", etc=base / "etc")
    paths.root.mkdir()
    subprocess.run(["cp", "-al", STACK_IMAGES, paths.images], check=True)
    prefix = f"l{os.getpid() % 256:x}"
    settings = Settings(network_prefix=prefix, network_pool="10.217.0.0/16", cgroup_parent=f"/paas-lab-{prefix}")
    engine = EmbeddedEngine(paths=paths, settings=settings)
    try:
        yield Lab(paths=paths, settings=settings, engine=engine, store=ImageStore(paths.images))
    finally:
        for container in engine.list():
            engine.remove(container.id, is_forced=True)
        engine.release_tenant(TENANT)
        subprocess.run(["nft", "delete", "table", "inet", prefix], check=False, capture_output=True)
        for top in (root / f"paas-lab-{prefix}" for root in (CGROUPS, *CGROUPS.iterdir())):
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()
        shutil.rmtree(base)
