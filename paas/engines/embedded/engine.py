"""EmbeddedEngine: the verbs of the contract. What they are made of: making, running, foreground, attach, logs, repair."""

from __future__ import annotations

import contextlib
import signal as signals
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from paas.engines import BuildStep, CommittedRun, InnerProcess, LogLine, Stdio, StepResult, Usage
from paas.engines.embedded import cgroups, changing, checking, committing, copying, repair
from paas.engines.embedded.attach import attached
from paas.engines.embedded.executing import MAX_OUTPUT_BYTES, Execution, execute, execute_quietly
from paas.engines.embedded.foreground import run_and_commit, run_build_step, run_foreground
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.logs import follow_log, keep_replaced, read_log
from paas.engines.embedded.lookup import find, find_running, list_containers, not_running
from paas.engines.embedded.making import finish, locked, make, making, release_claims, with_command
from paas.engines.embedded.record import Record, mark_stopped, read_record
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
from paas.engines.embedded.signals import passed_on
from paas.engines.embedded.usage import read_processes_of, read_usage
from paas.engines.embedded.volumes import create_volume, remove_volume, volume_names
from paas.errors import Conflict, NotFound
from paas.model.container import Container, ContainerSpec, ContainerStatus, Limits, Tenant
from paas.network import bridge
from paas.oci.registry import push_image
from paas.oci.skopeo import Registries, ignore_line
from paas.paths import Paths
from paas.settings import Settings


class EmbeddedEngine:
    """Containers by crun, conmon and overlayfs. Threads and forked children may share one."""

    def __init__(self, *, paths: Paths, settings: Settings) -> None:
        self._ground = Ground(paths, settings)

    def create(self, spec: ContainerSpec) -> Container:
        """Make a container without starting it."""
        image = self._ground.images.image(spec.image)
        spec = with_command(spec, image.config)
        with making(self._ground) as home:
            record: Record | None = None
            try:
                record = make(self._ground, home, spec, image.layers, image.config, image.id)
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

    def run(
        self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0, passes_signals: bool = False
    ) -> int:
        """Create, start attached, wait, remove; return the exit code."""
        return run_foreground(self._ground, spec, stdio or Stdio(), timeout_s, passes_signals=passes_signals)

    def run_and_commit(self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0) -> CommittedRun:
        """Like `run`; if it exits 0, make an image of what it leaves."""
        return run_and_commit(self._ground, spec, stdio or Stdio(), timeout_s)

    def build_step(
        self, step: BuildStep, *, on_line: Callable[[str], None] | None = None, stdio: Stdio | None = None,
        timeout_s: float = 0, stop: int = -1,
    ) -> AbstractContextManager[StepResult]:
        """Run one build step to its end and give what it changed."""
        return run_build_step(self._ground, step, on_line, stdio, timeout_s, stop)

    def stop(self, container: str, *, timeout_s: float | None = None) -> Container:
        """Stop signal, after the timeout SIGKILL; return it stopped."""
        record = self._record(container)
        home = self._ground.home(record.id)
        if container_of(self._ground, record).is_running:
            mark_stopped(home)
            stop_started(home, record, record.stop_timeout_s if timeout_s is None else timeout_s)
        return container_of(self._ground, record)

    def kill(self, container: str, signal: int = 0) -> None:
        """Send one signal to its init, by default its stop signal. Raises Conflict when it does not run."""
        record = self._running(container)
        number = signal or record.stop_signal
        if number in (record.stop_signal, signals.SIGKILL):
            mark_stopped(self._ground.home(record.id))
        if not signal_init(self._ground.home(record.id), number):
            raise not_running(record)

    def restart(self, container: str, *, timeout_s: float | None = None) -> Container:
        """Stop it if it runs and start it, with the address and ports it had."""
        self.stop(container, timeout_s=timeout_s)
        return self.start(container)

    def rename(self, container: str, name: str) -> Container:
        """Give it another name. Raises Conflict when that is taken."""
        record = self._record(container)
        with locked(self._ground.home(record.id)):
            return container_of(self._ground, changing.rename(self._ground, self._record(record.id), name))

    def update(self, container: str, *, limits: Limits | None = None, restart: str | None = None) -> Container:
        """Change limits (at once if it runs, 0 lifts one) or restart policy."""
        record = self._record(container)
        with locked(self._ground.home(record.id)):
            changed = changing.update(self._ground, self._record(record.id), limits=limits, restart=restart)
            return container_of(self._ground, changed)

    def stats(self, container: str) -> Usage:
        """Read what it has used. Raises Conflict when it does not run."""
        return read_usage(self._ground, self._running(container))

    def processes(self, container: str) -> tuple[InnerProcess, ...]:
        """List what runs in it, oldest first. Raises Conflict when it does not run."""
        return read_processes_of(self._ground, self._running(container))

    def check_health(self, container: str) -> Container:
        """Run its health check once, record the result, return it."""
        record = self._record(container)
        checking.check_health(self._ground, record)
        return container_of(self._ground, record)

    def volumes(self) -> Mapping[str, tuple[str, ...]]:
        """Return the named volumes and the ids of the containers that use each."""
        users = [(mount.volume, container.id) for container in self.list() for mount in container.mounts if mount.volume]
        return {name: tuple(c for volume, c in users if volume == name) for name in volume_names(self._ground)}

    def create_volume(self, name: str) -> None:
        """Make an empty named volume. Raises Conflict when it is there."""
        create_volume(self._ground, name)

    def remove_volume(self, name: str) -> None:
        """Remove a named volume. Raises NotFound, and Conflict when a container uses it."""
        remove_volume(self._ground, name, self.volumes().get(name, ()))

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
            raise not_running(record)
        return wait_for_exit(self._ground.home(record.id), timeout_s or None)

    def exec(
        self, container: str, argv: Sequence[str], *, stdio: Stdio | None = None, env: Mapping[str, str] | None = None,
        user: str = "", workdir: str = "", has_terminal: bool = False,
    ) -> int:
        """Run one more process in it; return its exit code."""
        execution = Execution(argv=tuple(argv), env=env or {}, user=user, workdir=workdir, has_terminal=has_terminal)
        return execute(self._ground, self._running(container), execution, stdio or Stdio())

    def copy_in(
        self, container: str, source: str | int, destination: str, *, follows_link: bool = False, keeps_owners: bool = False
    ) -> int:
        """Copy a path of this machine, or what a tar holds, into it."""
        record = self._record(container)
        return copying.copy_in(
            self._ground, record, source, destination, follows_link=follows_link, keeps_owners=keeps_owners
        )

    def copy_out(
        self, container: str, source: str, destination: str | int, *, follows_link: bool = False, keeps_owners: bool = False
    ) -> int:
        """Copy a path in it to one of this machine, or to a tar."""
        record = self._record(container)
        return copying.copy_out(
            self._ground, record, source, destination, follows_link=follows_link, keeps_owners=keeps_owners
        )

    def try_command(self, container: str, argv: Sequence[str], *, timeout_s: float) -> tuple[int | None, str]:
        """Run one more process in it without input; return its exit code, None when it was killed, and what it wrote."""
        return execute_quietly(
            self._ground, self._running(container), argv, timeout_s=timeout_s, max_output=MAX_OUTPUT_BYTES
        )

    def start_attached(self, container: str, *, stdio: Stdio | None = None) -> int:
        """Start it and join its streams from the first byte until it stops; return its exit code."""
        record, stdio = self._record(container), stdio or Stdio()
        with contextlib.ExitStack() as stack:
            with locked(self._ground.home(record.id)):
                if container_of(self._ground, record).is_running:
                    raise Conflict(f"Container {record.id} is running", remedy=f"paas container:logs -f {record.id}")
                connection = launch_attached(self._ground, record, stack, stdio)
            with passed_on(self._ground.home(record.id)):
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
        return list_containers(self._ground, labels or {})

    def inspect(self, container: str) -> Container:
        """Return one container."""
        return container_of(self._ground, self._record(container))

    def commit(self, container: str, *, reference: str = "", changes: Mapping[str, object] | None = None) -> str:
        """Make an image of its rootfs; return the image id."""
        return committing.commit(self._ground, self._record(container), reference, changes or {})

    def image_entrypoint(self, image: str) -> tuple[str, ...]:
        """Return the image's ENTRYPOINT."""
        return self._ground.images.image(image).config.entrypoint

    def image_ports(self, image: str) -> tuple[str, ...]:
        """Return the ports that the image exposes."""
        return self._ground.images.image(image).config.exposed_ports

    def prune_images(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove images that no reference, no container and not `keep` names, and layers that nothing uses."""
        used = {container.image for container in self.list()}
        return self._ground.images.prune({*keep, *used}, cache_bytes=self._ground.settings.build_cache_mb << 20)

    def push_image(
        self, image: str, reference: str, *, app: str = "", on_line: Callable[[str], None] | None = None
    ) -> None:
        """Send an image to the registry that the reference names, with the app's logins."""
        registries = Registries.of(self._ground.paths, self._ground.settings, app=app)
        push_image(self._ground.images, image, reference, registries=registries, on_line=on_line or ignore_line)

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

    def keep_logs(self, container: str = "") -> int:
        """Keep what was a log (of all containers, if none is named) before it reached its limit; return how many there were."""
        records = [self._record(container)] if container else [read_record(home) for home in self._ground.homes()]
        return sum(keep_replaced(r.log_path) for r in records if r is not None and r.log_path is not None)

    def preload(self) -> None:
        """Import and read now what the first start would wait for; for a process that lives long."""
        bridge.preload()
        self._ground.seccomp_program()
        _ = self._ground.crun, self._ground.conmon, self._ground.init, self._ground.hierarchies

    def _record(self, container: str) -> Record:
        return find(self._ground, container)

    def _running(self, container: str) -> Record:
        return find_running(self._ground, container)
