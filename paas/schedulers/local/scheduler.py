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
from paas.model.process import ProcessId
from paas.output import Output
from paas.paths import Paths
from paas.schedulers import Deployment
from paas.schedulers.local.plan import Plan, plan_rollout
from paas.schedulers.local.probes import wait_until_ready
from paas.schedulers.local.processes import container_spec, probe_for
from paas.settings import Settings

#: So many processes start at once: more than cores, as starting is mostly waiting, but not so many that all get slow.
PARALLEL = 4 * (os.cpu_count() or 1)


class LocalScheduler:
    """Runs every process in a container of the one engine."""

    name = "local"

    def __init__(self, *, engine: Engine, paths: Paths, settings: Settings) -> None:
        self._engine, self._paths, self._settings = engine, paths, settings

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

    def retire(self, container: Container) -> None:
        """Remember that the container was told to stop, then tell it."""
        self._marks.mkdir(parents=True, exist_ok=True)
        (self._marks / container.id).touch()
        self._engine.kill(container.id)

    def _plan(self, app: App, deployment: Deployment | None) -> Plan:
        found = self._engine.list({LABEL_APP: app.name, LABEL_KIND: KIND_PROCESS})
        return plan_rollout(found, deployment, retired=self._retired())

    @property
    def _marks(self) -> Path:
        return self._paths.run / "retired"

    def _retired(self) -> frozenset[str]:
        """Return the marked containers; marks of containers that are gone are dropped. A reboot ends both."""
        try:
            marked = frozenset(mark.name for mark in self._marks.iterdir())
        except FileNotFoundError:
            return frozenset()
        for container in marked:
            if not (self._paths.containers / container).exists():
                (self._marks / container).unlink(missing_ok=True)
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
        return tuple(future.result() for future in futures)

    def _start(self, process: ProcessId) -> Container:
        with self._turns.get(process.type) or contextlib.nullcontext():
            if self._is_cancelled.is_set():
                raise DeployFailed(f"{process} was not started because another process failed")
            return self._start_now(process)

    def _start_now(self, process: ProcessId) -> Container:
        self._output.step(f"Starting {process} (v{self._deployment.release.version})")
        spec = container_spec(
            self._deployment, process, entrypoint=self._entrypoint, token=secrets.token_hex(4), paths=self._paths,
            settings=self._settings,
        )  # fmt: skip
        created = self._engine.create(spec)
        with self._lock:
            self._started.append(created)
        container = self._engine.start(created.id)
        probe = probe_for(self._deployment, process, self._settings)
        wait_until_ready(
            self._engine, container, probe, process=str(process), host=self._deployment.app.name,
            now=time.monotonic, sleep=time.sleep, is_cancelled=self._is_cancelled.is_set,
        )  # fmt: skip
        self._output.detail(f"{process} is ready")
        return container

    def _take_back(self) -> None:
        for container in self._started:
            with contextlib.suppress(NotFound):  # gone, which is what we want
                self._engine.remove(container.id, is_forced=True)
