"""A context whose state is real (SQLite in a temporary directory) and whose containers and proxy are in memory."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from paas.context import Context, Identity
from paas.deploy.receive import deploy_source
from paas.deploy.record import recorded
from paas.engines import CommittedRun, Stdio
from paas.errors import DeployFailed, NotFound, RoutingFailed
from paas.host import git
from paas.model.app import App
from paas.model.container import (
    KIND_PROCESS,
    LABEL_APP,
    LABEL_INDEX,
    LABEL_KIND,
    LABEL_RELEASE,
    LABEL_TYPE,
    Container,
    ContainerSpec,
    ContainerStatus,
    Tenant,
    process_of,
)  # fmt: skip
from paas.model.healthcheck import Healthcheck
from paas.model.process import ProcessType
from paas.model.release import BuildKind, BuildResult, Release
from paas.model.source import Source
from paas.output import Output
from paas.paths import Paths
from paas.schedulers import LABEL_GENERATION, CheckResult, Deployment
from paas.settings import Settings
from paas.state import State


@dataclass
class FakeEngine:
    """Containers in memory, in the order they were made."""

    containers: dict[str, Container] = field(default_factory=dict)
    lost_images: set[str] = field(default_factory=set)
    numbers: itertools.count = field(default_factory=lambda: itertools.count(1))
    #: What ran in the foreground, and what it does: argv's last word -> exit code, text, or something to raise.
    ran: list[ContainerSpec] = field(default_factory=list)
    behaviour: dict[str, object] = field(default_factory=dict)

    def run(self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0) -> int:
        self.ran.append(spec)
        does = self.behaviour.get(spec.argv[-1].removeprefix("exec "), 0)
        if isinstance(does, BaseException):
            raise does
        if isinstance(does, str):
            os.write(stdio.stdout, does.encode())
        return does if isinstance(does, int) else 0

    def run_and_commit(self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0) -> CommittedRun:
        code = self.run(spec, stdio, timeout_s=timeout_s)
        return CommittedRun(exit_code=code, image=spec.image if code else f"{spec.image}+{len(self.ran)}")

    def list(self, labels: Mapping[str, str] | None = None) -> tuple[Container, ...]:
        wanted = (labels or {}).items()
        return tuple(c for c in self.containers.values() if all(c.labels.get(k) == v for k, v in wanted))

    def inspect(self, container: str) -> Container:
        found = self.containers.get(container) or next((c for c in self.containers.values() if c.name == container), None)
        if found is None:
            raise NotFound(container)
        return found

    def create(self, spec: ContainerSpec) -> Container:
        does = self.behaviour.get("create")
        if isinstance(does, BaseException):
            raise does
        assert spec.name not in [c.name for c in self.containers.values()]
        self.containers[spec.name] = Container(
            id=spec.name, name=spec.name, image=spec.image, tenant=spec.tenant, argv=spec.argv, labels=spec.labels,
            status=ContainerStatus.CREATED, created_at=next(self.numbers), log_path=spec.log_path,
        )  # fmt: skip
        return self.containers[spec.name]

    def start(self, container: str) -> Container:
        does = self.behaviour.get("start")
        if isinstance(does, BaseException):
            raise does
        self.containers[container] = replace(self.containers[container], status=ContainerStatus.RUNNING, started_at=1.0)
        return self.containers[container]

    def image_entrypoint(self, image: str) -> tuple[str, ...]:
        if image in self.lost_images:
            raise NotFound(image)
        return ()

    def stop(self, container: str, *, timeout_s: float | None = None) -> Container:
        return self.exit(self.inspect(container).id, 143)

    def remove(self, container: str, *, is_forced: bool = False) -> None:
        self.containers.pop(container, None)

    def flush(self) -> None:
        pass

    def repair(self) -> tuple[str, ...]:
        return ()

    def release_tenant(self, tenant: Tenant) -> None:
        pass

    def exit(self, container: str, code: int) -> Container:
        """Let a container end by itself."""
        self.containers[container] = replace(self.containers[container], status=ContainerStatus.STOPPED, exit_code=code)
        return self.containers[container]

    def names(self) -> list[str]:
        return [c.name for c in self.containers.values() if c.is_running]


@dataclass
class FakeScheduler:
    """Keeps the contract: all or nothing, old containers untouched. `failing` names process types that never get ready."""

    engine: FakeEngine
    failing: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    out: set[str] = field(default_factory=set)
    results: dict[str, CheckResult] = field(default_factory=dict)
    acted: list[tuple[str, str]] = field(default_factory=list)
    name: str = "local"

    def retire(self, container: Container) -> None:
        self.told.add(container.id)

    def retired(self) -> frozenset[str]:
        return frozenset(self.told)

    def check(self, deployment: Deployment, container: Container, check: Healthcheck) -> CheckResult:
        return self.results.get(str(process_of(container)), CheckResult())

    def act_on_failure(self, deployment, container, check, problem) -> tuple[str, ...]:
        self.acted.append((str(process_of(container)), problem))
        return (f"acted for {process_of(container)}",)

    def set_ready(self, container: Container, is_ready: bool) -> None:
        (self.out.discard if is_ready else self.out.add)(container.id)

    def unready(self) -> frozenset[str]:
        return frozenset(self.out)

    def start(self, deployment: Deployment, output: Output) -> tuple[Container, ...]:
        serving = {c.name for c in self.serving(deployment)}
        started = []
        for process in deployment.wanted():
            if deployment.only is not None and process not in deployment.only:
                continue
            generation = deployment.generation_of(process)
            name = f"{deployment.app.name}.{process}.v{deployment.release.version}.g{generation}"
            if name in serving:
                continue
            number = next(self.engine.numbers)
            started.append(f"c{number}")
            self.engine.containers[f"c{number}"] = Container(
                id=f"c{number}", name=name, image=deployment.release.image, tenant=Tenant(name=deployment.app.name, number=1),
                argv=("x",), status=ContainerStatus.RUNNING, created_at=number, address=f"10.0.0.{number}",
                labels={
                    LABEL_APP: deployment.app.name, LABEL_KIND: KIND_PROCESS, LABEL_RELEASE: str(deployment.release.version),
                    LABEL_TYPE: process.type, LABEL_INDEX: str(process.index), LABEL_GENERATION: str(generation),
                },
            )  # fmt: skip
            if process.type in self.failing:
                for container in started:
                    del self.engine.containers[container]
                raise DeployFailed(f"{process} did not start")
        return self.serving(deployment)

    def serving(self, deployment: Deployment) -> tuple[Container, ...]:
        alive = (c for c in self._of(deployment.app.name) if c.is_running and c.id not in self.told)
        return tuple(c for c in alive if self._matches(c, deployment))

    def obsolete(self, deployment: Deployment | None, app) -> tuple[Container, ...]:
        kept = {c.id for c in self.serving(deployment)} if deployment else set()
        return tuple(c for c in self._of(app.name) if c.id not in kept)

    def _of(self, app: str) -> tuple[Container, ...]:
        return self.engine.list({LABEL_APP: app, LABEL_KIND: KIND_PROCESS})

    @staticmethod
    def _matches(container: Container, deployment: Deployment) -> bool:
        labels, kind = container.labels, container.labels[LABEL_TYPE]
        return (
            labels[LABEL_RELEASE] == str(deployment.release.version)
            and labels[LABEL_GENERATION] == str(deployment.generation_of(process_of(container)))
            and int(labels[LABEL_INDEX]) <= deployment.formation.get(kind, 0)
        )


@dataclass
class FakeProxy:
    """Remembers what is served."""

    served: dict[str, tuple] = field(default_factory=dict)
    is_refusing: bool = False
    logs: Path = Path("/nonexistent")
    name: str = "nginx"

    def apply(self, vhost, upstreams) -> bool:
        if self.is_refusing:
            raise RoutingFailed("nginx -t failed")
        self.served[vhost.app] = (vhost, upstreams)
        return True

    def remove(self, app: str) -> None:
        self.served.pop(app, None)

    def sync(self, wanted) -> tuple[str, ...]:
        self.served = dict(wanted)
        return ()

    def in_flight(self, app, upstream) -> int:
        return 0

    def log_files(self, app: str) -> dict[str, Path]:
        return {kind: self.logs / f"{app}-{kind}.log" for kind in ("access", "error")}

    def upstreams(self, app: str) -> list[str]:
        return [str(u) for group in self.served[app][1].values() for u in group]


@dataclass
class FakeBuilder:
    """Builds any tree that has a file `code`."""

    name: str = "buildpack"
    result: BuildResult = BuildResult(image="image-1", processes=(ProcessType(name="web", command="serve"),))
    requests: list = field(default_factory=list)

    def detect(self, tree: Path) -> bool:
        return (tree / "code").exists()

    def validate(self, tree: Path) -> None:
        pass

    def build(self, request) -> BuildResult:
        self.requests.append(request)
        request.output.detail("built")
        return self.result


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(git, "ensure_repo", lambda *args, **kwargs: None)
    engine = FakeEngine()
    paths = Paths(root=tmp_path / "root", run=tmp_path / "run", etc=tmp_path / "etc")
    paths.root.mkdir()
    return Context(
        paths=paths,
        settings=Settings(),
        state=State(paths.database),
        engine=engine,
        scheduler=FakeScheduler(engine),
        proxy=FakeProxy(),
        builders=(FakeBuilder(),),
        output=Output(io.StringIO(), io.StringIO()),
        identity=Identity(name="alice", is_admin=False),
    )


def take_live(ctx: Context, app: App, tree: Path, revision: str = "") -> Release:
    """Take a tree live as a push does, recorded."""
    with recorded(ctx, app, BuildKind.BUILD, cause="git push", revision=revision) as deploy:
        return deploy_source(ctx, app, Source(tree=tree, revision=revision), deploy)
