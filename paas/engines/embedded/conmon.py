"""conmon: holds a container's streams, log and exit code, so that none of our processes must live for it.

    we --fork--> conmon --fork--> conmon, the daemon --fork--> crun create
    we <--------- sync pipe: {"data": <pid of the container's init>} or {"data": -1, "message": ...}

Source: conmon(8); conmon.c, `_OCI_SYNCPIPE`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.engines import Stdio
from paas.engines.embedded.attendants import is_runtime_at_work
from paas.engines.embedded.crun import log_options, read_said, runtime_problem
from paas.errors import HostProblem
from paas.host.run import DEVNULL, spawn

PASSTHROUGH = "passthrough"
#: How long a container may take to be made, and how often we look whether somebody is at work on it.
_SYNC_TIMEOUT_S, _LOOK_S = 60.0, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """A container that conmon made: the host pid of its init."""

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What conmon is told about one container. `log_path` None: it inherits its caller's streams, nothing is logged."""

    container: str
    bundle: Path
    sockets: Path
    last: Path
    log_path: Path | None
    log_max_bytes: int = 0
    has_terminal: bool = False
    keeps_stdin: bool = False
    program: str = ""

    @property
    def runtime_log(self) -> Path:
        """Return where the runtime writes what went wrong when its stderr is the caller's."""
        return self.bundle / "runtime.log"


def conmon_argv(binary: Path, runtime: Path, options: Sequence[str], watch: Watch) -> list[str]:
    """Return conmon's command line; `options` are the runtime's. Pure."""
    log = PASSTHROUGH if watch.log_path is None else f"k8s-file:{watch.log_path}"
    argv = [
        str(binary),
        "--api-version", "1",
        "--cid", watch.container,
        "--cuuid", watch.container,
        "--name", watch.container,
        "--runtime", str(runtime),
        "--bundle", str(watch.bundle),
        "--persist-dir", str(watch.last),  # exit code and OOM mark land here
        "--container-pidfile", str(watch.bundle / "pid"),
        "--conmon-pidfile", str(watch.bundle / "conmon.pid"),
        "--socket-dir-path", str(watch.sockets),
        "--log-path", log,
        "--log-level", "error",
        "--no-sync-log",  # an fsync of the log at exit is not worth the wait
    ]  # fmt: skip
    if watch.log_path is not None and watch.log_max_bytes:
        argv += ["--log-size-max", str(watch.log_max_bytes)]
    if watch.has_terminal:
        argv.append("--terminal")
    if watch.log_path is not None or watch.keeps_stdin:
        argv.append("--stdin")  # else it gives /dev/null of the host, whose owner the runtime then changes
    if watch.keeps_stdin:
        argv.append("--leave-stdin-open")
    logged = log_options(watch.runtime_log) if watch.log_path is None else ()  # else conmon reads what it says
    for option in (*options, *logged):
        argv += ["--runtime-arg", option]
    return argv


def create_monitored(
    argv: Sequence[str], watch: Watch, stdio: Stdio | None, while_waiting: Callable[[], object]
) -> Monitored:
    """Start conmon, which creates the container; return when its init waits to be started. Raises HostProblem.

    `while_waiting` is called when conmon runs on its own and the runtime is at work.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "_OCI_SYNCPIPE": str(writing)}
        streams = (stdio.stdin, stdio.stdout, stdio.stderr) if stdio else (DEVNULL, DEVNULL, DEVNULL)
        process = spawn(
            argv, stdin=streams[0], stdout=streams[1], stderr=streams[2], env=environment,
            cwd=watch.last,  # besides the mark in the persist directory it writes a file `oom` where it works
            pass_fds=(writing,), new_session=True,
        )  # fmt: skip
        os.close(writing)
        writing = -1
        if process.wait() != 0:
            return _answer(reading, watch, ended=-1)
        while_waiting()  # it goes on as a daemon
        with _opened(watch.bundle / "conmon.pid") as daemon:
            return _answer(reading, watch, ended=daemon)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


@contextlib.contextmanager
def _opened(pid_file: Path) -> Iterator[int]:
    """Open the process that a file names; -1 when it has ended."""
    try:
        descriptor = os.pidfd_open(int(pid_file.read_text()))
    except (OSError, ValueError):
        descriptor = -1
    try:
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _answer(sync: int, watch: Watch, *, ended: int) -> Monitored:
    """Read what conmon says; `ended` becomes readable when it ends, -1 if it has ended already.

    The pipe alone does not tell: its other end lives on in the runtime when conmon is killed, and when the runtime is killed
    conmon waits for the end of output that the half-made container holds open.
    """
    text, until, idle = b"", time.monotonic() + _SYNC_TIMEOUT_S, 0
    while not text.endswith(b"\n"):
        ready, _, _ = select.select({sync, ended} - {-1}, [], [], _LOOK_S if ended >= 0 else 0)
        if sync not in ready and (ended in ready or ended < 0):
            break
        if sync in ready:
            piece = os.read(sync, 4096)
            if not piece:
                break
            text += piece
            continue
        idle = 0 if is_runtime_at_work(watch.bundle.parent, watch.container) else idle + 1
        if idle > 1:
            raise HostProblem("The container runtime died before the container was made", remedy="run: paas doctor")
        if time.monotonic() > until:
            raise HostProblem("conmon does not answer", remedy="run: paas doctor")
    try:
        said = json.loads(text)
    except ValueError:
        found = runtime_problem(watch.program, read_said(watch.runtime_log))
        raise found or HostProblem("conmon died before the container was made", remedy="run: paas doctor") from None
    if said["data"] < 0:
        found = runtime_problem(watch.program, said.get("message", ""))
        raise found or HostProblem("The container could not be made, and the runtime does not say why", remedy="run: paas doctor")
    return Monitored(pid=said["data"])
