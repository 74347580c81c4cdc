"""The laboratory that builder tests share."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder_lab import TENANT, Lab
from dockerfile_yard import remove_traces
from harness import SCRATCH, STACK_IMAGES
from paas.engines.embedded.engine import EmbeddedEngine
from paas.oci.store import ImageStore
from paas.paths import Paths
from paas.settings import Settings
from slots import claim_slot


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    assert STACK_IMAGES.is_dir(), f"{STACK_IMAGES} is missing: run tests/run.sh"
    base = Path(tempfile.mkdtemp(prefix="pb", dir=SCRATCH))
    base.chmod(0o755)
    paths = Paths(root=base / "lib", run=base / "run", etc=base / "etc")
    paths.root.mkdir()
    subprocess.run(["cp", "-al", STACK_IMAGES, paths.images], check=True)
    slot = claim_slot()
    settings = Settings(**slot.settings)  # type: ignore[arg-type]
    engine = EmbeddedEngine(paths=paths, settings=settings)
    try:
        yield Lab(paths=paths, settings=settings, engine=engine, store=ImageStore(paths.images))
    finally:
        for container in engine.list():
            engine.remove(container.id, is_forced=True)
        engine.release_tenant(TENANT)
        remove_traces(settings)
        shutil.rmtree(base)
        slot.release()
