"""Dockerfile builds on a real engine without a server; the fixture is in integration/builders/dockerfile/conftest.py."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine_ground import engine_ground
from harness import STACK_IMAGES
from paas.builders.dockerfile.builder import build_image
from paas.builders.dockerfile.order import BuildOrder
from paas.builders.dockerfile.tree import LayeredTree
from paas.engines.embedded.engine import EmbeddedEngine
from paas.model.container import Limits, Tenant
from paas.oci.store import Image, ImageStore
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings

TENANT = Tenant(name="yard", number=1)
NO_LIMITS = Limits()


@dataclass(kw_only=True)
class Yard:
    """An engine and a store of their own, shared by the tests of a session. `said` is the last build's output."""

    paths: Paths
    settings: Settings
    engine: EmbeddedEngine
    store: ImageStore
    said: list[str] = field(default_factory=list)

    def build(
        self, text: str, files: Mapping[str, str] | None = None, *, app: str = "app", tree: Path | None = None,
        limits: Limits = NO_LIMITS, inherits: bool = True, **options: object,
    ) -> Image:  # fmt: skip
        """Write the files into a fresh directory (or use `tree`) and build it."""
        out = io.StringIO()
        with contextlib.ExitStack() as stack:
            if tree is None:
                tree = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.paths.root)))
                for name, content in {"Dockerfile": text, **(files or {})}.items():
                    (tree / name).parent.mkdir(parents=True, exist_ok=True)
                    (tree / name).write_text(content)
            order = BuildOrder(
                tree=tree, cache=self.paths.app_cache(app), output=Output(out, out), limits=limits,
                **{"timeout_s": 300, "tenant": TENANT, **options},  # type: ignore[arg-type]
            )  # fmt: skip
            settings = Settings(**{**_fields(self.settings), "build_inherit_host_config": inherits})  # type: ignore[arg-type]
            try:
                return build_image(order, engine=self.engine, paths=self.paths, settings=settings)
            finally:
                self.said = [line.removeprefix("       ") for line in out.getvalue().splitlines()]

    def tree(self, image: Image) -> LayeredTree:
        """Return the image's root file system."""
        return LayeredTree([self.store.layer_dir(layer) for layer in reversed(image.layers)])

    def added(self, image: Image, base: str) -> list[str]:
        """Return the files that the layers on top of a base hold."""
        count = len(self.store.image(base).layers)
        found: list[str] = []
        for layer in image.layers[count:]:
            top = self.store.layer_dir(layer)
            found += (str(p.relative_to(top)) for p in top.rglob("*") if p.is_symlink() or not p.is_dir())
        return sorted(found)

    def orphans(self) -> tuple[str, ...]:
        """Return what belongs to no container; the kernel takes a network namespace's links away a moment later."""
        until = time.monotonic() + 20
        while (found := self.engine.orphans()) and time.monotonic() < until:
            time.sleep(0.02)
        return found

    def leftovers(self) -> list[str]:
        """Return what a build must not leave: containers, pending layers, work directories."""
        places = (self.paths.containers, self.paths.images / "pending", self.paths.work)
        found = (entry for place in places if place.is_dir() for entry in place.iterdir())
        return [str(entry) for entry in found if not entry.name.startswith(".")]


@contextlib.contextmanager
def open_yard() -> Iterator[Yard]:
    """Give a yard whose store begins with the tests' base image; everything it made is gone afterwards."""
    with engine_ground(images=STACK_IMAGES) as ground:
        yield Yard(paths=ground.paths, settings=ground.settings, engine=ground.engine, store=ground.store)


def _fields(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in Settings.__slots__}
