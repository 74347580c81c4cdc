"""LocalScheduler: start in parallel, probe, and take everything back when one fails."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from paas.engines import Engine
from paas.errors import DeployFailed, NotFound
from paas.model.app import App
from paas.model.container import KIND_PROCESS, LABEL_APP, LABEL_KIND, Container, process_of
from paas.model.healthcheck import Healthcheck
from paas.model.process import ProcessId
from paas.output import Output
from paas.paths import Paths
from paas.schedulers import CheckMode, CheckResult, Deployment
from paas.schedulers.local.healthchecks import Checking, attempt, title_of
from paas.schedulers.local.onfailure import act_on_failure
from paas.schedulers.local.plan import Plan, plan_rollout
from paas.schedulers.local.probes import refuse_ended, wait_until_ready
from paas.schedulers.local.processes import checks_for, container_spec, probe_for
from paas.settings import Settings

#: So many processes start at once: more than cores, as starting is mostly waiting, but not so many that all get slow.
PARALLEL = 4 * (os.cpu_count() or 1)


class LocalScheduler:
    """Runs every process in a container of the one engine."""

    name = "local"

    def __init__(self, *, engine: Engine, paths: Paths, settings: Settings) -> None:
        self._engine, self._paths, self._settings = engine, paths, settings
        self._retired = _Marks(paths.run / "retired", paths.containers)
        self._unready = _Marks(paths.run / "unready", paths.containers)

    def start(self, deployment: Deployment, output: Output) -> tuple[Container, ...]:
        """Start what is missing and probe it; all or nothing."""
        plan = self._plan(deployment.app, deployment)
        if not plan.start:
            return plan.keep
        entrypoint = self._engine.image_entrypoint(deployment.release.image)
        attempt = _Attempt(self._engine, deployment, entrypoint, self._paths, self._settings, output)
        return (*(c for c in plan.keep if process_of(c) not in plan.start), *attempt.run(plan.start))

    def serving(self, deployment: Deployment) -> tuple[Container, ...]:
        """Return the containers that match the deployment and run."""
        return self._plan(deployment.app, deployment).keep

    def obsolete(self, deployment: Deployment | None, app: App) -> tuple[Container, ...]:
        """Return the app's process containers that the deployment does not want."""
        return self._plan(app, deployment).retire

    def check(self, deployment: Deployment, container: Container, check: Healthcheck) -> CheckResult:
        """Try a check once."""
        port = deployment.port_of(process_of(container).type)
        return attempt(self._engine, container, check, port=port, host=deployment.host or deployment.app.name)

    def act_on_failure(self, deployment: Deployment, container: Container, check: Healthcheck, problem: str) -> tuple[str, ...]:
        """Do what a check that has failed asks for."""
        return act(self._engine, deployment, container, check, problem)

    def set_ready(self, container: Container, is_ready: bool) -> None:
        """Remember whether requests may be sent to the container."""
        self._unready.set(container.id, not is_ready)

    def unready(self) -> frozenset[str]:
        """Return the containers to which no request may be sent."""
        return self._unready.all()

    def retire(self, container: Container) -> None:
        """Remember that the container was told to stop, then tell it."""
        self._retired.set(container.id, True)
        self._engine.kill(container.id)

    def retired(self) -> frozenset[str]:
        """Return the containers that were told to stop."""
        return self._retired.all()

    def _plan(self, app: App, deployment: Deployment | None) -> Plan:
        found = self._engine.list({LABEL_APP: app.name, LABEL_KIND: KIND_PROCESS})
        return plan_rollout(found, deployment, retired=self._retired.all())


def act(
    engine: Engine, deployment: Deployment, container: Container, check: Healthcheck, problem: str
) -> tuple[str, ...]:
    """Do what a check of one of the deployment's containers asks for when it has failed."""
    return act_on_failure(
        engine, container, check, title=title_of(check), process=str(process_of(container)), app=deployment.app.name,
        problem=problem,
    )  # fmt: skip


class _Marks:
    """Containers of which something is remembered, until they are gone or the machine reboots: a file for each."""

    def __init__(self, directory: Path, containers: Path) -> None:
        self._directory, self._containers = directory, containers

    def set(self, container: str, is_marked: bool) -> None:
        """Mark a container, or take the mark away."""
        if is_marked:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / container).touch()
        else:
            (self._directory / container).unlink(missing_ok=True)

    def all(self) -> frozenset[str]:
        """Return the marked containers; marks of containers that are gone are dropped."""
        try:
            marked = frozenset(mark.name for mark in self._directory.iterdir())
        except FileNotFoundError:
            return frozenset()
        for container in marked:
            if not (self._containers / container).exists():
                (self._directory / container).unlink(missing_ok=True)
        return marked


class _Attempt:
    """One all-or-nothing start of several processes."""

    def __init__(
        self, engine: Engine, deployment: Deployment, entrypoint: tuple[str, ...], paths: Paths, settings: Settings,
        output: Output,
    ) -> None:  # fmt: skip
        self._engine, self._deployment, self._entrypoint = engine, deployment, entrypoint
        self._paths, self._settings, self._output = paths, settings, output
        self._started: list[Container] = []
        self._is_cancelled = threading.Event()
        self._lock = threading.Lock()
        limits = {name: deployment.parallel_of(name) for name in deployment.formation}
        self._turns = {name: threading.Semaphore(limit) for name, limit in limits.items() if limit}

    def run(self, processes: Sequence[ProcessId]) -> tuple[Container, ...]:
        """Start and probe all; on the first failure give the others up and remove every one."""
        at_once = self._deployment.at_once or PARALLEL
        pool = ThreadPoolExecutor(max_workers=min(len(processes), at_once), thread_name_prefix="start")
        futures = [pool.submit(self._start, process) for process in processes]
        try:
            return self._collect(futures)
        except BaseException:
            self._is_cancelled.set()
            for future in futures:
                future.cancel()
            pool.shutdown(wait=True)
            self._take_back()
            raise
        finally:
            pool.shutdown(wait=True)

    def _collect(self, futures: Sequence[Future[Container]]) -> tuple[Container, ...]:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = next((error for future in done if (error := future.exception()) is not None), None)
        if failed is not None:
            raise failed
        started = tuple(future.result() for future in futures)
        for container in started:  # one that was ready early may have ended while the others got ready
            refuse_ended(self._engine, container)
        return started

    def _start(self, process: ProcessId) -> Container:
        with self._turns.get(process.type) or contextlib.nullcontext():
            if self._is_cancelled.is_set():
                raise DeployFailed(f"{process} was not started because another process failed")
            with self._output.timed(str(process)):
                return self._start_now(process)

    def _start_now(self, process: ProcessId) -> Container:
        self._output.step(f"Starting {process} (v{self._deployment.release.version})")
        spec = container_spec(
            self._deployment, process, entrypoint=self._entrypoint, token=secrets.token_hex(4), paths=self._paths,
            settings=self._settings,
        )  # fmt: skip
        with self._output.timed("create the container"):
            created = self._engine.create(spec)
        with self._lock:
            self._started.append(created)
        with self._output.timed("start it"):
            container = self._engine.start(created.id)
        if self._deployment.check_mode(process.type) is CheckMode.ENABLED:
            with self._output.timed("until it is ready"):
                self._check(process, container)
            self._output.detail(f"{process} is ready")
        else:
            self._output.detail(f"{process} is started, without a check")
        return container

    def _check(self, process: ProcessId, container: Container) -> None:
        """Return when the process is ready. Raises DeployFailed."""
        deployment, host = self._deployment, self._deployment.host or self._deployment.app.name
        probe = probe_for(deployment, process, self._settings)
        if probe is not None:
            wait_until_ready(
                self._engine, container, probe, process=str(process), host=host,
                now=time.monotonic, sleep=time.sleep, is_cancelled=self._is_cancelled.is_set,
            )  # fmt: skip
        checks = checks_for(deployment, process)
        if checks:
            self._output.detail(f"Attempting {len(checks)} check{'s' if len(checks) > 1 else ''} ({process})")
            Checking(
                self._engine, container, process=str(process), port=deployment.port_of(process.type), host=host,
                output=self._output, on_failure=lambda check, problem: act(self._engine, deployment, container, check, problem),
                now=time.monotonic, sleep=time.sleep, is_cancelled=self._is_cancelled.is_set,
            ).run(checks)  # fmt: skip

    def _take_back(self) -> None:
        for container in self._started:
            with contextlib.suppress(NotFound):  # gone, which is what we want
                self._engine.remove(container.id, is_forced=True)
