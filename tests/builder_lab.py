"""A builder on a real engine and a real stack, without a server; the fixture is in integration/builders/conftest.py."""

from __future__ import annotations

import http.client
import io
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paas.builders import BuildRequest
from paas.builders.buildpack.builder import BuildpackBuilder
from paas.engines import Stdio
from paas.engines.embedded.engine import EmbeddedEngine
from paas.model.container import ContainerSpec, Limits, Tenant
from paas.model.process import ProcessType, command_line
from paas.model.release import BuildResult
from paas.model.source import Source
from paas.oci.store import Image, ImageStore
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings

TENANT = Tenant(name="lab", number=3)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A build that came out well: what it said, and its image."""

    result: BuildResult
    output: str
    image: Image


@dataclass(kw_only=True)
class Lab:
    """An engine and a store of their own, shared by the tests of a session; each app has its own cache."""

    paths: Paths
    settings: Settings
    engine: EmbeddedEngine
    store: ImageStore
    said: list[str] = field(default_factory=list)

    def build(self, app: str, tree: Path, *, buildpacks: Path | None = None, options: Mapping[str, str] | None = None,
              env: Mapping[str, str] | None = None, limits: Limits | None = None, timeout_s: float = 300,
              chosen: tuple[str, ...] = ()) -> Built:
        """Build a copy of the tree."""
        builder = BuildpackBuilder(engine=self.engine, paths=self.paths, settings=self.settings, buildpacks=buildpacks)
        out = io.StringIO()
        self.said[:] = []
        output = Output(out, out)
        output.add_sink(self.said.append)
        with tempfile.TemporaryDirectory(dir=self.paths.root) as work:
            source = Source(tree=Path(shutil.copytree(tree, Path(work) / "tree", symlinks=True)))
            result = builder.build(
                BuildRequest(
                    app=app, tenant=TENANT, source=source, cache=self.paths.app_cache(app), output=output,
                    env=env or {}, options=options or {}, limits=limits or Limits(), timeout_s=timeout_s,
                    buildpacks=chosen,
                )
            )  # fmt: skip
        return Built(result=result, output=out.getvalue(), image=self.store.image(result.image))

    def get(self, built: Built, path: str = "/", *, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Start the web process, ask it once, stop it; return status and body."""
        web = next(process for process in built.result.processes if process.name == "web")
        log = self.paths.root / "web.log"
        log.unlink(missing_ok=True)
        env = {"PORT": "5000", **(env or {})}
        spec = ContainerSpec(image=built.image.id, argv=web.argv, tenant=TENANT, env=env, log_path=log)
        container = self.engine.create(spec)
        try:
            container = self.engine.start(container.id)
            until = time.monotonic() + 30
            while True:
                connection = http.client.HTTPConnection(container.address, 5000, timeout=5)
                try:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    return answer.status, answer.read().decode()
                except OSError:
                    assert time.monotonic() < until, log.read_text()
                    time.sleep(0.02)
                finally:
                    connection.close()
        finally:
            self.engine.remove(container.id, is_forced=True)

    def run(self, built: Built, command: str, *, env: Mapping[str, str] | None = None) -> str:
        """Run a shell line in the image and return what it prints."""
        argv = command_line(ProcessType(name="run", command=command), built.image.config.entrypoint)
        return self.run_argv(built, argv, env=env)

    def run_argv(self, built: Built, argv: tuple[str, ...], *, env: Mapping[str, str] | None = None) -> str:
        """Run an argv in the image and return what it prints."""
        with tempfile.TemporaryFile() as stream, open(os.devnull, "rb") as nothing:
            stdio = Stdio(stdin=nothing.fileno(), stdout=stream.fileno(), stderr=stream.fileno())
            self.engine.run(ContainerSpec(image=built.image.id, argv=argv, tenant=TENANT, env=env or {}), stdio)
            stream.seek(0)
            return stream.read().decode()

    def leftovers(self) -> list[str]:
        """Return what a build must not leave: containers, pending layers, work directories."""
        places = (self.paths.containers, self.paths.images / "pending", self.paths.work)
        return [str(entry) for place in places if place.is_dir() for entry in place.glob("[!.]*")]
