"""Starting, signalling and ending containers that are made. Callers hold the container's lock where it says so."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from paas.engines import Stdio
from paas.engines.embedded import cgroups
from paas.engines.embedded.attach import attached, close_stdin, join_streams, resize
from paas.engines.embedded.attendants import attendants, end_attendant
from paas.engines.embedded.conmon import Watch, conmon_argv, create_monitored
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.logs import keep_replaced
from paas.engines.embedded.making import discard, leave_app, mount_layers, release_claims
from paas.engines.embedded.publishing import claimed_ports, republish
from paas.engines.embedded.record import (
    Processes,
    Record,
    boot_id,
    container_from,
    forget_start,
    read_exit,
    read_processes,
    start_ticks,
    write_processes,
)  # fmt: skip
from paas.engines.embedded.terminal import window_size
from paas.errors import Cancelled, CommandFailed, HostProblem
from paas.host.files import disk_problem
from paas.model.container import Container, NetworkMode
from paas.network import bridge
from paas.network.ipam import veth_name

#: conmon was killed or the machine went down: nobody knows how it ended.
UNKNOWN_EXIT = 255
_EXIT_FILE_WAIT_S = 5.0


def launch(
    ground: Ground, record: Record, *, stdio: Stdio | None = None, before_start: Callable[[], None] | None = None
) -> None:
    """Start a container (lock held). With `stdio` it inherits these descriptors and nothing is logged.

    `before_start` is called when its init exists and waits. Raises HostProblem, Conflict; leaves nothing running then.
    """
    cgroups.expect_moves(ground.hierarchies)
    home = ground.home(record.id)
    _prepare(ground, home, record)
    with claimed_ports(ground, record) as publish, ground.crun.program() as runtime:
        watch = _watch(ground, home, record, is_logged=stdio is None, is_joined=before_start is not None)
        try:
            argv = conmon_argv(ground.conmon, runtime, ground.crun.global_options, watch)
            made = create_monitored(argv, watch, stdio, lambda: _move_conmon(ground, home))
            if watch.log_path is not None:
                keep_replaced(watch.log_path)
            if record.network is NetworkMode.TENANT:
                bridge.connect(_link(ground, record), made.pid)
            if record.has_terminal:
                reclaim_null_device()
            publish()
            if before_start is not None:
                before_start()
            if stdio is None and before_start is None and not record.keeps_stdin and not record.has_terminal:
                close_stdin(ground.sockets, record.id)
            ground.keep_seccomp_program(record.id)
            processes = _processes(home, made.pid)
            ground.crun.start(record.id, made.pid)
            write_processes(home, processes)
        except BaseException as exc:
            with contextlib.suppress(CommandFailed, OSError):  # a clean-up failure never hides the first failure
                _take_back(ground, record)
            if isinstance(exc, CommandFailed):
                raise HostProblem(f"Container {record.id} could not be started", output=exc.output) from exc
            raise


def launch_attached(ground: Ground, record: Record, stack: contextlib.ExitStack, stdio: Stdio) -> socket.socket:
    """Start a container (lock held), connected to its streams before its first byte; the stack closes the connection."""
    found: list[socket.socket] = []

    def connect() -> None:
        found.append(stack.enter_context(attached(ground.sockets, record.id)))
        if record.has_terminal:
            resize(ground.home(record.id), window_size(stdio.stdin))

    launch(ground, record, before_start=connect)
    return found[0]


def reclaim_null_device() -> bool:
    """Take /dev/null back from a tenant; say whether one had it.

    Without a pipe to give, conmon starts the runtime on the host's /dev/null, and crun gives what it was started on to the
    container's root, who could then close it to everybody. Done before the container's first process runs.
    """
    if Path(os.devnull).stat().st_uid == 0:
        return False
    os.chown(os.devnull, 0, 0)
    Path(os.devnull).chmod(0o666)
    return True


def stream_until_exit(ground: Ground, record: Record, connection: socket.socket, stdio: Stdio) -> int:
    """Copy between a container and the caller until it ends; return its exit code."""
    home = ground.home(record.id)
    sends_stdin = record.keeps_stdin or record.has_terminal
    join_streams(connection, home, stdio, has_terminal=record.has_terminal, sends_stdin=sends_stdin)
    code = wait_for_exit(home, None)
    return UNKNOWN_EXIT if code is None else code


def signal_init(home: Path, number: int) -> bool:
    """Send a signal to a container's init; False when it has ended."""
    processes = read_processes(home)
    if processes is None:
        return False
    with _pidfd(processes.pid, processes.pid_ticks, processes.boot) as descriptor:
        if descriptor < 0:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        return True


def wait_for_exit(home: Path, timeout_s: float | None, *, stop: int = -1) -> int | None:
    """Wait until a started container has ended and its exit code is written; None when the time is over.

    Raises Cancelled once the descriptor `stop` is readable.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    processes = read_processes(home)
    if processes is not None:
        # conmon ends after it has written the exit code; if it was killed, the container's own end must do.
        for pid, ticks in ((processes.conmon_pid, processes.conmon_ticks), (processes.pid, processes.pid_ticks)):
            if not _wait_for_process(pid, ticks, processes.boot, deadline, stop):
                return None
    code, _ = read_exit(home)
    return UNKNOWN_EXIT if code is None else code


def stop_started(home: Path, record: Record, timeout_s: float) -> None:
    """Stop signal, wait, SIGKILL, wait."""
    if not signal_init(home, record.stop_signal) or wait_for_exit(home, timeout_s) is not None:
        wait_for_exit(home, _EXIT_FILE_WAIT_S)
        return
    signal_init(home, signal.SIGKILL)
    if wait_for_exit(home, _EXIT_FILE_WAIT_S) is None:
        raise HostProblem(
            f"Container {record.id} does not end after SIGKILL", remedy="a process hangs in the kernel: see ps -eo stat,wchan,cmd"
        )


def take_away(ground: Ground, record: Record) -> None:
    """Kill what runs of a container and remove every trace of it (lock held)."""
    home = ground.home(record.id)
    if signal_init(home, signal.SIGKILL):
        wait_for_exit(home, _EXIT_FILE_WAIT_S)
    _clear_runtime(ground, record)
    with contextlib.suppress(OSError):
        (ground.sockets / record.id).unlink(missing_ok=True)
    release_claims(ground, record)
    discard(ground, home)
    leave_app(ground, record)
    if record.ports:
        republish(ground)


def _clear_runtime(ground: Ground, record: Record) -> None:
    """End what is left of the last start; without a process of the runtime when its control groups can be removed."""
    is_gone = cgroups.end(ground.hierarchies, ground.cgroup(record.tenant.number, record.id))
    if ground.crun.knows(record.id):
        if is_gone:
            ground.crun.forget(record.id)
        else:
            ground.crun.delete(record.id)


def _take_back(ground: Ground, record: Record) -> None:
    """Undo a start: a runtime whose conmon was killed may still be at work, and one that was killed has left its cgroup."""
    for attendant in attendants(ground.paths.containers):
        if attendant.container == record.id:
            end_attendant(attendant)
    ground.crun.delete(record.id)
    cgroups.end(ground.hierarchies, ground.cgroup(record.tenant.number, record.id))


def container_of(ground: Ground, record: Record) -> Container:
    """Return the container as it is now."""
    return container_from(ground.home(record.id), record)


def _prepare(ground: Ground, home: Path, record: Record) -> None:
    """Bring back what a reboot took, forget the last start."""
    ground.tenancy.ensure(record.tenant, with_network=record.network is NetworkMode.TENANT)
    if not ground.rootfs(record.id).is_mounted:
        mount_layers(ground, home, record.layers, record.tenant.number)
    _clear_runtime(ground, record)
    forget_start(home)
    ground.crun.state.mkdir(mode=0o711, parents=True, exist_ok=True)
    ground.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
    if record.log_path is not None:
        try:
            record.log_path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise disk_problem(exc, record.log_path) from exc


def _watch(ground: Ground, home: Path, record: Record, *, is_logged: bool, is_joined: bool) -> Watch:
    return Watch(
        container=record.id,
        bundle=home,
        sockets=ground.sockets,
        last=home / "last",
        log_path=record.log_path if is_logged else None,
        log_max_bytes=record.log_max_bytes,
        has_terminal=record.has_terminal,
        program=record.argv[0],
        keeps_stdin=record.keeps_stdin and not is_joined,  # the end of the input is then the end of its input
    )


def _move_conmon(ground: Ground, home: Path) -> None:
    """Move conmon out of our own cgroup, so that the end of our unit is not its end."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended already; it says why
        cgroups.join_monitors(ground.hierarchies, ground.cgroup_parent, int((home / "conmon.pid").read_text()))


def _link(ground: Ground, record: Record) -> bridge.Link:
    return bridge.Link(
        name=veth_name(ground.settings.network_prefix, record.id),
        network=ground.tenancy.network(record.tenant),
        address=record.address,
    )


def _processes(home: Path, pid: int) -> Processes:
    conmon_pid = int((home / "conmon.pid").read_text())
    return Processes(
        pid=pid,
        pid_ticks=start_ticks(pid),
        conmon_pid=conmon_pid,
        conmon_ticks=start_ticks(conmon_pid),
        boot=boot_id(),
        started_at=time.time(),
    )


def _wait_for_process(pid: int, ticks: int, boot: str, deadline: float | None, stop: int = -1) -> bool:
    with _pidfd(pid, ticks, boot) as descriptor:
        if descriptor < 0:
            return True
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        ready = select.select([descriptor] if stop < 0 else [descriptor, stop], [], [], left)[0]
        if ready == [stop]:
            raise Cancelled("Stopped from outside")
        return bool(ready)


@contextlib.contextmanager
def _pidfd(pid: int, ticks: int, boot: str) -> Iterator[int]:
    """Open a process by what names it for good: pid, start time, boot. -1 when that one is gone."""
    try:
        descriptor = os.pidfd_open(pid) if boot == boot_id() else -1
    except ProcessLookupError:
        descriptor = -1
    try:
        # Compared after opening: from here on the descriptor can not come to mean another process.
        yield descriptor if descriptor >= 0 and start_ticks(pid) == ticks else -1
    finally:
        if descriptor >= 0:
            os.close(descriptor)
