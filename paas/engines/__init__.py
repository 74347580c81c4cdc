"""Contract of a container engine: makes, watches and removes containers. One implementation: `embedded`.

MUST: leave nothing behind when `create` or `start` raises; keep containers alive when every process of ours dies;
raise NotFound for an unknown container and HostProblem for what the machine refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from paas.model.container import PLATFORM, Container, ContainerSpec, Limits, Mount, NetworkMode, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """File descriptors of the caller; the engine duplicates them and never closes them."""

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a process wrote. `stream` is stdout or stderr, `at` seconds since the epoch."""

    at: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStep:
    """One command of a build: run `argv` on a stack of layers, keep what it changes.

    `layers` are ids in the image store, bottom first; none means an empty root. `env` is the whole environment (PATH gets a
    default), `user` is `name|uid[:group|gid]` looked up in those layers, a missing `workdir` is made.
    Mount points that had to be made for `mounts` are removed again and do not show in the layer.
    """

    layers: tuple[str, ...]
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    mounts: tuple[Mount, ...] = ()
    network: NetworkMode = NetworkMode.TENANT
    limits: Limits = Limits()
    tenant: Tenant = PLATFORM


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How a build step ended. `changes` is the overlay upper directory: adopt it (`ImageStore.adopt_layer`) or leave it."""

    exit_code: int
    changes: Path
    is_oom_killed: bool = False
    has_hit_pids_limit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedRun:
    """How a run ended, and the image of what it left: the one it ran on when it failed or changed nothing."""

    exit_code: int
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a running container has used since its start, and its limits (0: none). `at` is when it was read.

    `memory_bytes` is without what the kernel can drop (page cache not in use), as in `docker stats`.
    """

    at: float
    cpu_s: float = 0.0
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    pids: int = 0
    pids_limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerProcess:
    """One process in a container, with the host's pids; `user` is the uid inside."""

    pid: int
    parent: int
    user: int
    state: str
    cpu_s: float
    memory_bytes: int
    argv: tuple[str, ...]


class Engine(Protocol):
    """All verbs take a container id, a unique prefix of it, or its name."""

    def create(self, spec: ContainerSpec) -> Container:
        """Make a container without starting it: rootfs, network, config.json. Returns it in status created."""

    def start(self, container: str) -> Container:
        """Start it in the background under conmon. Returns it running, with pid and address."""

    def run(
        self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0, passes_signals: bool = False
    ) -> int:
        """Create, start attached to `stdio` (default: the caller's own), wait, remove; return the exit code.

        SIGINT and SIGTERM of the caller end it; with `passes_signals` its init gets them and decides.
        """

    def run_and_commit(self, spec: ContainerSpec, stdio: Stdio | None = None, *, timeout_s: float = 0) -> CommittedRun:
        """Like `run`; if it exits 0, make an image of what it leaves, with the config of the image it ran on."""

    def build_step(self, step: BuildStep, *, on_line: Callable[[str], None] | None = None, stdio: Stdio | None = None,
                   timeout_s: float = 0, stop: int = -1) -> AbstractContextManager[StepResult]:
        """Run one build step to its end, in the foreground, stdin empty unless `stdio` is given. Any thread may call it.

        Output goes to `on_line` (stdout and stderr, line by line), else to `stdio`. After the timeout (0: none) it is killed
        and CommandFailed raised; once the descriptor `stop` is readable it is killed and Cancelled raised. A non-zero exit code
        is no exception. `changes` lives until the context is left; an adopted one is gone from there already. Killed and
        cleaned up when the caller dies or an exception passes.
        """

    def stop(self, container: str, *, timeout_s: float | None = None) -> Container:
        """Send its stop signal, after `timeout_s` (default the spec's) SIGKILL; return it stopped. Idempotent."""

    def kill(self, container: str, signal: int = 0) -> None:
        """Send one signal to its init, by default its stop signal. Raises Conflict when it does not run."""

    def restart(self, container: str, *, timeout_s: float | None = None) -> Container:
        """Stop it if it runs and start it, with the address and ports it had. Returns it running."""

    def rename(self, container: str, name: str) -> Container:
        """Give it another name. Raises Conflict when that is taken."""

    def update(self, container: str, *, limits: Limits | None = None, restart: str | None = None) -> Container:
        """Change limits (at once if it runs, 0 lifts one) or restart policy."""

    def stats(self, container: str) -> Usage:
        """Read what it has used. Raises Conflict when it does not run."""

    def processes(self, container: str) -> tuple[InnerProcess, ...]:
        """List what runs in it, oldest first. Raises Conflict when it does not run."""

    def check_health(self, container: str) -> Container:
        """Run its health check once, record the result, return it. Nothing when it has no check or does not run."""

    def volumes(self) -> Mapping[str, tuple[str, ...]]:
        """Return the named volumes and the ids of the containers that use each."""

    def create_volume(self, name: str) -> None:
        """Make an empty named volume. Raises Conflict when it is there."""

    def remove_volume(self, name: str) -> None:
        """Remove a named volume with its content. Raises NotFound, and Conflict when a container uses it."""

    def remove(self, container: str, *, is_forced: bool = False) -> None:
        """Delete a container and all it holds; a running one only when forced (killed at once)."""

    def wait(self, container: str, *, timeout_s: float = 0) -> int | None:
        """Wait until it has stopped; return its exit code, or None when `timeout_s` (0: no limit) passed first."""

    def exec(self, container: str, argv: Sequence[str], *, stdio: Stdio | None = None, env: Mapping[str, str] | None = None,
             user: str = "", workdir: str = "", has_terminal: bool = False) -> int:
        """Run one more process in it; return its exit code. With a terminal, stdio.stdin must be one: it is put in raw
        mode and its size followed (SIGWINCH)."""

    def copy_in(self, container: str, source: str | int, destination: str, *, follows_link: bool = False,
                keeps_owners: bool = False) -> int:
        """Copy a path of this machine, or what the tar on a descriptor holds, to a path in it, as `docker cp` does.

        Returns the bytes. Links in it lead nowhere else. Raises InvalidInput when the two do not fit together.
        """

    def copy_out(self, container: str, source: str, destination: str | int, *, follows_link: bool = False,
                 keeps_owners: bool = False) -> int:
        """Copy a path in it to one of this machine, or as a tar to a descriptor; else like `copy_in`."""

    def try_command(self, container: str, argv: Sequence[str], *, timeout_s: float) -> tuple[int | None, str]:
        """Run one more process in it without input; return its exit code and what it wrote first (some kilobytes). After the
        timeout it is killed, and the code None."""

    def start_attached(self, container: str, *, stdio: Stdio | None = None) -> int:
        """Start it and join its streams from the first byte until it stops; return its exit code.

        Its init gets SIGINT and SIGTERM of the caller. Raises BrokenPipeError, and leaves it running, when nobody reads any more.
        """

    def attach(self, container: str, *, stdio: Stdio | None = None) -> int:
        """Join its streams until it stops; return its exit code."""

    def logs(self, container: str, *, lines: int = 0, follow: bool = False) -> Iterator[LogLine]:
        """Yield the last `lines` (0: all) log lines, and go on until it stops if `follow`."""

    def list(self, labels: Mapping[str, str] | None = None) -> tuple[Container, ...]:
        """Return all containers that carry all these labels, oldest first."""

    def inspect(self, container: str) -> Container:
        """Return one container. Raises NotFound."""

    def commit(self, container: str, *, reference: str = "", changes: Mapping[str, object] | None = None) -> str:
        """Make an image of its rootfs; `changes` update the OCI image config's `config` object. Returns the image id."""

    def image_entrypoint(self, image: str) -> tuple[str, ...]:
        """Return the image's ENTRYPOINT. Raises NotFound."""

    def image_ports(self, image: str) -> tuple[str, ...]:
        """Return the ports that the image exposes, e.g. `80/tcp`. Raises NotFound."""

    def prune_images(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove images that no reference, container or `keep` (ids) names, and layers that nothing uses; name those gone."""

    def push_image(
        self, image: str, reference: str, *, app: str = "", on_line: Callable[[str], None] | None = None
    ) -> None:
        """Send an image to the registry that the reference names, with the app's logins. Raises NotFound, HostProblem."""

    def flush(self) -> None:
        """Write images to the disk: a power cut after this loses none of them."""

    def release_tenant(self, tenant: Tenant) -> None:
        """Remove what a tenant's containers shared: bridge, firewall rules, cgroup. Nothing if containers are left."""

    def repair(self) -> tuple[str, ...]:
        """Bring back what a reboot or a crash took (bridges, rules, half-made containers); say what was done."""

    def orphans(self) -> tuple[str, ...]:
        """Name what is left over and belongs to no container; `repair` removes it. Reads only."""

    def keep_logs(self, container: str = "") -> int:
        """Keep what was a log (of all containers, if none is named) before it reached its limit; return how many there were.

        A full log is replaced by an empty one; the one before is kept, older ones are not. Raises NotFound.
        """

    def preload(self) -> None:
        """Import and read now what the first start would wait for; for a process that lives long."""
