"""Contract of a scheduler: brings the containers of an app to what a deployment wants. Implementation: local.

Which containers serve is derived, never stored: those whose labels match the deployment's release, the type's generation and
an index within the formation, and that were not told to stop. All other process containers of the app are obsolete.

MUST: `start` is all or nothing: it returns only when every new container passed its probe, and when it raises, no container
that it started is left and no old one was touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from paas.engines import Engine
from paas.model.app import App
from paas.model.container import Container
from paas.model.healthcheck import Healthcheck, HealthcheckType
from paas.model.process import WEB, ProcessId
from paas.model.release import Release
from paas.model.route import DEFAULT_CONTAINER_PORT
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings

#: Container label: which restart of its process type a container belongs to.
LABEL_GENERATION = "paas.generation"


#: In the lists of `checks:disable` and `checks:skip`: every process type.
ALL_TYPES = "_all_"


class CheckMode(StrEnum):
    """How a process type is replaced. Source: Dokku, docs/deployment/zero-downtime-deploys.md."""

    ENABLED = "enabled"
    DISABLED = "disabled"  # old ones stop before new ones start, which are not checked
    SKIPPED = "skipped"  # new ones are not checked


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one attempt at a check found: '' when it passed; `is_early`: nobody listens yet, which may change any moment."""

    problem: str = ""
    output: tuple[str, ...] = ()
    is_early: bool = False

    @property
    def is_passed(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What should run: this release of this app with these counts.

    `formation` holds every process type with its count (0 counts too). `generations` grow with each restart of a type, or of
    a process by itself (`web.2`); a missing one is generation 0. `ports` are the container ports that are routed to the web
    type, the first is $PORT; `other_ports` are those of other types. `properties` are the app's properties by `topic.key`,
    e.g. `ps.stop-timeout-seconds`.
    `only` names the processes that `start` may start (bringing back one that crashed); None means all that are missing.
    `at_once` limits how many processes start together; 0 leaves it to the scheduler. `host` is the name that checks ask for.
    """

    app: App
    release: Release
    formation: Mapping[str, int]
    generations: Mapping[str, int] = field(default_factory=dict)
    ports: tuple[int, ...] = (5000,)
    other_ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[ProcessId] | None = None
    at_once: int = 0
    host: str = ""

    def checks_of(self, process: str, *types: HealthcheckType) -> tuple[Healthcheck, ...]:
        """Return the process type's checks of these types, as app.json has them."""
        return tuple(check for check in self.release.app_json.healthchecks.get(process, ()) if check.type in types)

    def check_mode(self, process: str) -> CheckMode:
        """Return whether new processes of the type are checked, and whether old ones go first."""
        for mode, key in ((CheckMode.DISABLED, "checks.disabled"), (CheckMode.SKIPPED, "checks.skipped")):
            if {ALL_TYPES, process} & set(self.properties.get(key, "").split(",")):
                return mode
        return CheckMode.ENABLED

    def routed_ports(self, process: str) -> tuple[int, ...]:
        """Return the container ports of a process type that requests are sent to."""
        return self.ports if process == WEB else self.other_ports.get(process, ())

    def parallel_of(self, process: str) -> int:
        """Return how many of a process type may start together, as app.json says; 0 for as many as `at_once`."""
        declared = self.release.app_json.formation.get(process)
        return declared.max_parallel if declared else 0

    def port_of(self, process: str) -> int:
        """Return the $PORT of a process type."""
        return (*self.routed_ports(process), *self.ports, DEFAULT_CONTAINER_PORT)[0]

    def generation_of(self, process: ProcessId) -> int:
        """Return how often the process was restarted, with its type and by itself. It only grows."""
        return self.generations.get(process.type, 0) + self.generations.get(str(process), 0)

    def wanted(self) -> tuple[ProcessId, ...]:
        """Return every process that should run, web first."""
        types = sorted(self.formation, key=lambda name: name != WEB)
        return tuple(ProcessId(type=name, index=n) for name in types for n in range(1, self.formation[name] + 1))


class Scheduler(Protocol):
    """Made with the parts it works on: `Scheduler(engine=..., paths=..., settings=...)`."""

    name: str

    def __init__(self, *, engine: Engine, paths: Paths, settings: Settings) -> None: ...

    def start(self, deployment: Deployment, output: Output) -> tuple[Container, ...]:
        """Start what is missing, all types in parallel, and probe it; return all containers that serve now, new and kept.
        Raises DeployFailed with the failing process's last lines."""

    def serving(self, deployment: Deployment) -> tuple[Container, ...]:
        """Return the containers that match the deployment and run; one that is not held until its replacement runs."""

    def obsolete(self, deployment: Deployment | None, app: App) -> tuple[Container, ...]:
        """Return the app's process containers that the deployment (None: nothing should run) does not want: to be drained,
        stopped and removed. Stopped containers of wanted processes are among them."""

    def check(self, deployment: Deployment, container: Container, check: Healthcheck) -> CheckResult:
        """Try a check of one of the deployment's containers once. Takes at most its timeout and a little."""

    def act_on_failure(self, deployment: Deployment, container: Container, check: Healthcheck, problem: str) -> tuple[str, ...]:
        """Do what a check that has failed asks for (`onFailure`); return a line for each thing done. Takes a minute at most."""

    def set_ready(self, container: Container, is_ready: bool) -> None:
        """Remember whether requests may be sent to a running container."""

    def unready(self) -> frozenset[str]:
        """Return the ids of running containers to which no request may be sent."""

    def retire(self, container: Container) -> None:
        """Tell an obsolete container to stop, and remember it: it never serves again, even if its process is wanted anew
        before it has ended. Raises Conflict when it does not run."""

    def retired(self) -> frozenset[str]:
        """Return the ids of containers that were told to stop and are still there."""
