"""EmbeddedEngine: the verbs of the contract. What they are made of: making, running, foreground, attach, logs, repair."""

from __future__ import annotations

import contextlib
import json
import os
import signal as signals
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from paas.engines import BuildStep, CommittedRun, LogLine, Stdio, StepResult
from paas.engines.embedded import cgroups, committing, repair
from paas.engines.embedded.attach import attached, run_with_console
from paas.engines.embedded.foreground import run_and_commit, run_build_step, run_foreground
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.logs import follow_log, read_log, rotate
from paas.engines.embedded.making import (
    command_of,
    finish,
    locked,
    make,
    making,
    read_account,
    release_claims,
    surroundings_of,
)  # fmt: skip
from paas.engines.embedded.record import Record, container_from, read_record
from paas.engines.embedded.running import (
    container_of,
    launch,
    launch_attached,
    signal_init,
    stop_started,
    stream_until_exit,
    take_away,
    wait_for_exit,
)  # fmt: skip
from paas.engines.embedded.spec import process_config
from paas.engines.embedded.streams import passable
from paas.errors import Conflict, InvalidInput, NotFound
from paas.host.run import spawn
from paas.model.container import Container, ContainerSpec, ContainerStatus, Tenant
from paas.network import bridge
from paas.paths import Paths
from paas.settings import Settings


class EmbeddedEngine:
    """Containers by crun, conmon and overlayfs. Threads and forked children may share one."""

    def __init__(self, *, paths: Paths, settings: Settings) -> None:
        self._ground = Ground(paths, settings)

    def create(self, spec: ContainerSpec) -> Container:
        """Make a container without starting it."""
        image = self._ground.images.image(spec.image)
        argv = spec.argv or (*image.config.entrypoint, *image.config.cmd)
        if not argv:
            raise InvalidInput(f"The image {spec.image} names no command", remedy="give one")
        with making(self._ground) as home:
            record: Record | None = None
            try:
                record = make(self._ground, home, replace(spec, argv=argv), image.layers, image.config, image.id)
                return container_of(self._ground, finish(home, record))
            except BaseException:
                if record is not None:
                    release_claims(self._ground, record)
                raise

    def start(self, container: str) -> Container:
        """Start it in the background under conmon; one that runs is left alone."""
        record = self._record(container)
        with locked(self._ground.home(record.id)):
            if not container_of(self._ground, record).is_running:
                launch(self._ground, record)
            return container_of(self._ground, record)

    def run(self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0) -> int:
        """Create, start attached, wait, remove; return the exit code."""
        image = self._ground.images.image(spec.image)
        argv = spec.argv or (*image.config.entrypoint, *image.config.cmd)
        return run_foreground(self._ground, replace(spec, argv=argv), stdio or Stdio(), timeout_s)

    def run_and_commit(self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0) -> CommittedRun:
        """Like `run`; if it exits 0, make an image of what it leaves."""
        return run_and_commit(self._ground, spec, stdio or Stdio(), timeout_s)

    def build_step(
        self, step: BuildStep, *, on_line: Callable[[str], None] | None = None, stdio: Stdio | None = None,
        timeout_s: float = 0,
    ) -> AbstractContextManager[StepResult]:
        """Run one build step to its end and give what it changed."""
        return run_build_step(self._ground, step, on_line, stdio, timeout_s)

    def stop(self, container: str, *, timeout_s: float | None = None) -> Container:
        """Stop signal, after the timeout SIGKILL; return it stopped."""
        record = self._record(container)
        home = self._ground.home(record.id)
        if container_of(self._ground, record).is_running:
            stop_started(home, record, record.stop_timeout_s if timeout_s is None else timeout_s)
        return container_of(self._ground, record)

    def kill(self, container: str, signal: int = 0) -> None:
        """Send one signal to its init, by default its stop signal. Raises Conflict when it does not run."""
        record = self._record(container)
        if not signal_init(self._ground.home(record.id), signal or record.stop_signal):
            raise _not_running(record)

    def remove(self, container: str, *, is_forced: bool = False) -> None:
        """Delete a container and all it holds."""
        record = self._record(container)
        home = self._ground.home(record.id)
        if is_forced:
            signal_init(home, signals.SIGKILL)  # before the lock: a foreground run holds it until the end
        with contextlib.suppress(NotFound), locked(home):
            if not is_forced and container_of(self._ground, record).is_running:
                raise Conflict(
                    f"Container {record.name or record.id} is running",
                    remedy=f"paas container:stop {record.name or record.id}, or remove it with --force",
                )
            take_away(self._ground, record)

    def wait(self, container: str, *, timeout_s: float = 0) -> int | None:
        """Wait until it has stopped; return its exit code, None when the time is over."""
        record = self._record(container)
        if container_of(self._ground, record).status is ContainerStatus.CREATED:
            raise _not_running(record)
        return wait_for_exit(self._ground.home(record.id), timeout_s or None)

    def exec(
        self, container: str, argv: Sequence[str], *, stdio: Stdio | None = None, env: Mapping[str, str] | None = None,
        user: str = "", workdir: str = "", has_terminal: bool = False,
    ) -> int:
        """Run one more process in it; return its exit code."""
        record, stdio = self._running(container), stdio or Stdio()
        command = command_of(record)
        account = read_account(self._ground.rootfs(record.id).root, user) if user else command.account
        command = replace(
            command, argv=tuple(argv), env={**record.env, **(env or {})}, account=account,
            workdir=workdir or record.workdir, has_terminal=has_terminal,
        )  # fmt: skip
        around = replace(surroundings_of(self._ground, record), init=None)
        with _temporary_file(self._ground.home(record.id), json.dumps(process_config(command, around))) as process:
            if has_terminal:
                return run_with_console(lambda c: self._ground.crun.exec_argv(record.id, process, console=c), stdio)
            argv = self._ground.crun.exec_argv(record.id, process)
            with passable(stdio) as given, spawn(
                argv, stdin=given.stdin, stdout=given.stdout, stderr=given.stderr
            ) as running:
                return running.wait()

    def start_attached(self, container: str, *, stdio: Stdio | None = None) -> int:
        """Start it and join its streams from the first byte until it stops; return its exit code."""
        record, stdio = self._record(container), stdio or Stdio()
        with contextlib.ExitStack() as stack:
            with locked(self._ground.home(record.id)):
                if container_of(self._ground, record).is_running:
                    raise Conflict(f"Container {record.id} is running", remedy=f"paas container:logs -f {record.id}")
                connection = launch_attached(self._ground, record, stack, stdio)
            return stream_until_exit(self._ground, record, connection, stdio)

    def attach(self, container: str, *, stdio: Stdio | None = None) -> int:
        """Join its streams until it stops; return its exit code."""
        record = self._running(container)
        with attached(self._ground.sockets, record.id) as connection:
            return stream_until_exit(self._ground, record, connection, stdio or Stdio())

    def logs(self, container: str, *, lines: int = 0, follow: bool = False) -> Iterator[LogLine]:
        """Yield its last log lines, and go on until it stops if `follow`."""
        record = self._record(container)
        if record.log_path is None:
            return iter(())
        if not follow:
            return read_log(record.log_path, lines=lines)
        return follow_log(
            record.log_path, lines=lines, is_over=lambda: not container_of(self._ground, record).is_running
        )

    def list(self, labels: Mapping[str, str] | None = None) -> tuple[Container, ...]:
        """Return the containers that carry all these labels, oldest first."""
        found = []
        for home in self._ground.homes():
            record = read_record(home)
            if record is not None and (labels or {}).items() <= record.labels.items():
                found.append(container_from(home, record))
        return tuple(sorted(found, key=lambda c: (c.created_at, c.id)))

    def inspect(self, container: str) -> Container:
        """Return one container."""
        return container_of(self._ground, self._record(container))

    def commit(self, container: str, *, reference: str = "", changes: Mapping[str, object] | None = None) -> str:
        """Make an image of its rootfs; return the image id."""
        return committing.commit(self._ground, self._record(container), reference, changes or {})

    def image_entrypoint(self, image: str) -> tuple[str, ...]:
        """Return the image's ENTRYPOINT."""
        return self._ground.images.image(image).config.entrypoint

    def prune_images(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove images that no reference, no container and not `keep` names, and layers that nothing uses."""
        return self._ground.images.prune({*keep, *(container.image for container in self.list())})

    def flush(self) -> None:
        """Write images to the disk."""
        self._ground.images.sync()

    def release_tenant(self, tenant: Tenant) -> None:
        """Remove bridge, user namespace and cgroup of a tenant; nothing if containers are left."""
        if any(container.tenant.number == tenant.number for container in self.list()):
            return
        self._ground.tenancy.release(tenant)
        cgroups.remove(self._ground.hierarchies, cgroups.tenant_cgroup(self._ground.cgroup_parent, tenant.number))

    def repair(self) -> tuple[str, ...]:
        """Bring back what a reboot or a crash took; say what was done."""
        return repair.repair(self._ground)

    def orphans(self) -> tuple[str, ...]:
        """Name what is left over and belongs to no container; `repair` removes it."""
        return tuple(orphan.description for orphan in repair.find_orphans(self._ground))

    def rotate_logs(self) -> int:
        """Rotate the logs of running containers that are over their limit; return how many."""
        homes = [(home, read_record(home)) for home in self._ground.homes()]
        return sum(
            rotate(record.log_path, home / "ctl", limit_bytes=record.log_max_bytes)
            for home, record in homes if record is not None and record.log_path is not None
        )  # fmt: skip

    def preload(self) -> None:
        """Import and read now what the first start would wait for; for a process that lives long."""
        bridge.preload()
        _ = self._ground.seccomp, self._ground.crun, self._ground.conmon, self._ground.init, self._ground.hierarchies

    def _running(self, container: str) -> Record:
        record = self._record(container)
        if not container_of(self._ground, record).is_running:
            raise _not_running(record)
        return record

    def _record(self, container: str) -> Record:
        """Find a container by id, name, or unique prefix of its id. Raises NotFound, InvalidInput when ambiguous."""
        for key in (container, self._id_of_name(container)):
            record = read_record(self._ground.home(key)) if key and "/" not in key and not key.startswith(".") else None
            if record is not None:
                return record
        matching = [h for h in self._ground.homes() if container and h.name.startswith(container)]
        records = [record for home in matching if (record := read_record(home)) is not None]
        if len(records) > 1:
            raise InvalidInput(f"'{container}' is the beginning of {len(records)} container ids", remedy="give more of it")
        if not records:
            raise NotFound(f"There is no container '{container}'", remedy="list them with: paas container:ps -a")
        return records[0]

    def _id_of_name(self, name: str) -> str:
        if not name or "/" in name or "\0" in name:
            return ""
        try:
            return str((self._ground.claims / "names" / name).readlink())
        except OSError:
            return ""


def _not_running(record: Record) -> Conflict:
    return Conflict(f"Container {record.name or record.id} is not running", remedy=f"paas container:start {record.id}")


@contextlib.contextmanager
def _temporary_file(directory: Path, content: str) -> Iterator[Path]:
    path = directory / f".exec-{os.getpid()}-{os.urandom(4).hex()}"
    path.write_text(content)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
