"""One more process in a running container: for a user with his streams, or for a health check with its output kept."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from paas.engines import Stdio
from paas.engines.embedded import cgroups
from paas.engines.embedded.attach import run_with_console
from paas.engines.embedded.crun import read_said, runtime_problem
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.making import command_of, read_account, surroundings_of
from paas.engines.embedded.record import Record
from paas.engines.embedded.spec import process_config
from paas.engines.embedded.streams import passable
from paas.host.run import kill_group, spawn

#: So much is kept of what a command says that runs for its exit code.
MAX_OUTPUT_BYTES = 4096
_PIECE_BYTES = 4096
_KILL_PAUSE_S = 0.05
#: How the runtime exits when it could not run the command.
_RUNTIME_FAILED = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What to run: argv, additions to the environment; user and workdir '' are the container's."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    has_terminal: bool = False


def execute(ground: Ground, record: Record, execution: Execution, stdio: Stdio) -> int:
    """Run it to its end on the caller's streams; return its exit code."""
    with _described(ground, record, execution) as process, _logged(process) as log:
        code = _execute(ground, record, process, log, execution, stdio)
        if code == _RUNTIME_FAILED and (problem := runtime_problem(execution.argv[0], read_said(log))):
            raise problem
    return code if code >= 0 else 128 - code


def _execute(ground: Ground, record: Record, process: Path, log: Path, execution: Execution, stdio: Stdio) -> int:
    with ground.crun.program() as program:
        if execution.has_terminal:
            return run_with_console(
                lambda console: ground.crun.exec_argv(record.id, process, console=console, log=log), program, stdio
            )
        argv = ground.crun.exec_argv(record.id, process, log=log)
        with (
            passable(stdio) as given,
            spawn(argv, stdin=given.stdin, stdout=given.stdout, stderr=given.stderr, program=program) as running,
        ):
            return running.wait()


@contextlib.contextmanager
def _logged(process: Path) -> Iterator[Path]:
    """Give a file for what the runtime says, so that what went wrong is told from what the command itself writes."""
    log = process.with_name(f"{process.name}.log")
    try:
        yield log
    finally:
        log.unlink(missing_ok=True)


def execute_quietly(
    ground: Ground, record: Record, argv: Sequence[str], *, timeout_s: float, max_output: int
) -> tuple[int | None, str]:
    """Run it without input; return its exit code, None if it was killed because the time is over, and what it wrote first."""
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(_described(ground, record, Execution(argv=tuple(argv))))
        pid_file = process.with_name(f"{process.name}.pid")
        stack.callback(pid_file.unlink, missing_ok=True)
        empty, reading, writing = _pipes(stack)
        command = ground.crun.exec_argv(record.id, process, pid_file=pid_file)
        program = stack.enter_context(ground.crun.program())
        running = stack.enter_context(spawn(command, stdin=empty, stdout=writing, stderr=writing, program=program))
        stack.callback(running.kill)
        output, has_ended = _read_while(running.pid, reading, timeout_s, max_output)
        while not has_ended and running.poll() is None:
            _kill(pid_file)  # not written yet, perhaps, on a busy machine
            time.sleep(_KILL_PAUSE_S)
        return (running.wait() if has_ended else None), output


def _read_while(pid: int, reading: int, timeout_s: float, max_bytes: int) -> tuple[str, bool]:
    """Read until a child of ours has ended or the time is over, keep the first bytes; say whether it has ended."""
    until = time.monotonic() + timeout_s
    kept, watched = b"", [reading]
    pidfd = os.pidfd_open(pid)
    try:
        while True:
            ready = select.select([*watched, pidfd], [], [], max(until - time.monotonic(), 0))[0]
            if reading in ready:
                kept = (kept + os.read(reading, _PIECE_BYTES))[:max_bytes]
            elif ready or time.monotonic() >= until:
                return kept.decode(errors="replace"), bool(ready)
    finally:
        os.close(pidfd)


def _kill(pid_file: Path) -> None:
    """Kill the process with what it started: the runtime gives it a session, led by a process that has ended already."""
    with contextlib.suppress(OSError, ValueError):  # it has just ended, or never began
        pid = int(pid_file.read_text())
        group = os.getpgid(pid)
        if group != os.getpgrp():
            kill_group(group)
        os.kill(pid, signal.SIGKILL)


def _pipes(stack: contextlib.ExitStack) -> tuple[int, int, int]:
    """Return an input that is at its end, and a pipe for the output. The runtime gives away the owner of /dev/null."""
    empty, unused = os.pipe2(os.O_CLOEXEC)
    os.close(unused)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    for descriptor in (empty, reading, writing):
        stack.callback(os.close, descriptor)
    return empty, reading, writing


@contextlib.contextmanager
def _described(ground: Ground, record: Record, execution: Execution) -> Iterator[Path]:
    """Write the OCI `process` object to a file of the container for as long as it is needed."""
    cgroups.expect_moves(ground.hierarchies)
    command = command_of(record)
    account = command.account
    if execution.user:
        account = read_account(ground.rootfs(record.id).root, execution.user, record.extras.groups)
    command = replace(
        command, argv=execution.argv, env={**record.env, **execution.env}, account=account,
        workdir=execution.workdir or record.workdir, has_terminal=execution.has_terminal,
    )  # fmt: skip
    around = replace(surroundings_of(ground, record), init=None)
    path = ground.home(record.id) / f".exec-{os.getpid()}-{os.urandom(4).hex()}"
    path.write_text(json.dumps(process_config(command, around)))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
