"""conmon: holds a container's streams, log and exit code, so that none of our processes must live for it.

    we --fork--> conmon --fork--> conmon, the daemon --fork--> crun create
    we <--------- sync pipe: {"data": <pid of the container's init>} or {"data": -1, "message": ...}

Source: conmon(8); conmon.c, `_OCI_SYNCPIPE`.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.engines import Stdio
from paas.engines.embedded.crun import Crun
from paas.errors import HostProblem
from paas.host.run import DEVNULL, spawn

PASSTHROUGH = "passthrough"
_SYNC_TIMEOUT_S = 60


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


def conmon_argv(binary: Path, crun: Crun, watch: Watch) -> list[str]:
    """Return conmon's command line. Pure."""
    log = PASSTHROUGH if watch.log_path is None else f"k8s-file:{watch.log_path}"
    argv = [
        str(binary),
        "--api-version", "1",
        "--cid", watch.container,
        "--cuuid", watch.container,
        "--name", watch.container,
        "--runtime", str(crun.binary),
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
    for option in crun.global_options:
        argv += ["--runtime-arg", option]
    return argv


def create_monitored(
    argv: Sequence[str], stdio: Stdio | None, while_waiting: Callable[[], object], *, directory: Path
) -> Monitored:
    """Start conmon, which creates the container; return when its init waits to be started. Raises HostProblem.

    `directory` is where it works: besides the mark in the persist directory it writes a file `oom` there.
    `while_waiting` is called when conmon runs on its own and the runtime is at work.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "_OCI_SYNCPIPE": str(writing)}
        streams = (stdio.stdin, stdio.stdout, stdio.stderr) if stdio else (DEVNULL, DEVNULL, DEVNULL)
        process = spawn(
            argv, stdin=streams[0], stdout=streams[1], stderr=streams[2], env=environment, cwd=directory,
            pass_fds=(writing,), new_session=True,
        )  # fmt: skip
        os.close(writing)
        writing = -1
        if process.wait() == 0:  # it goes on as a daemon
            while_waiting()
        return _answer(reading)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _answer(sync: int) -> Monitored:
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([sync], [], [], _SYNC_TIMEOUT_S)
        if not ready:
            raise HostProblem("conmon does not answer", remedy="run: paas doctor")
        piece = os.read(sync, 4096)
        if not piece:
            break
        text += piece
    try:
        said = json.loads(text)
    except ValueError:
        raise HostProblem("conmon died before the container was made", remedy="run: paas doctor") from None
    if said["data"] < 0:
        raise HostProblem(f"The container could not be made: {runtime_message(said.get('message', ''))}")
    return Monitored(pid=said["data"])


def runtime_message(said: str) -> str:
    """Return the sentence in what the runtime printed: plain, or JSON lines with `msg`. Pure."""
    for line in reversed(said.splitlines()):
        if not line.startswith("{"):
            return line
        try:
            return str(json.loads(line)["msg"])
        except (ValueError, KeyError):
            continue
    return said.strip() or "no message"
