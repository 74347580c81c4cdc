"""The single door for subprocesses. argv is a list, never a shell string."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paas.errors import CommandFailed, HostProblem
from paas.output import trace

PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL
TimeoutExpired = subprocess.TimeoutExpired
#: Kept of a tool's output for the error message.
TAIL_LINES = 20


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = None,
    ok: Sequence[int] = (0,),
    remedy: str = "",
    pass_fds: Sequence[int] = (),
    program: Path | None = None,
) -> str:
    """Run a tool to its end and return its stdout; raise CommandFailed with its last lines.

    `stdin` is what it reads: bytes or an open descriptor. `env` replaces the environment. Statuses in `ok` are no failure.
    `program` is executed in place of the first word.
    """
    trace(" ".join(argv))
    feed: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": DEVNULL if stdin is None else stdin}
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            list(argv), capture_output=True, check=False, pass_fds=tuple(pass_fds), executable=program,
            **feed, env=dict(env) if env is not None else None, cwd=cwd, timeout=timeout_s,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise missing_tool(argv[0]) from exc
    except subprocess.TimeoutExpired as exc:
        raise CommandFailed(argv, -signal.SIGKILL, [f"no end after {timeout_s} s"], remedy=remedy) from exc
    stdout = done.stdout.decode(errors="replace")
    if done.returncode not in ok:
        said = (done.stderr.decode(errors="replace") or stdout).splitlines()[-TAIL_LINES:]
        raise CommandFailed(argv, done.returncode, said, remedy=remedy)
    return stdout


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 0,
) -> int:
    """Run a tool and hand on each line (stdout and stderr together) as it comes; return its exit status.

    The tool gets its own process group; that group is killed when the timeout passes or this call is left by an exception.
    """
    trace(" ".join(argv))
    try:
        child = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None, cwd=cwd, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise missing_tool(argv[0]) from exc
    timer = threading.Timer(timeout_s, kill_group, [child.pid]) if timeout_s else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        assert child.stdout is not None
        for raw in child.stdout:
            on_line(raw.decode(errors="replace").rstrip("\r\n"))
        return child.wait()
    except BaseException:
        kill_group(child.pid)
        child.wait()
        raise
    finally:
        if timer is not None:
            timer.cancel()


def spawn(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    new_session: bool = False,
    program: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a tool and return at once; the caller waits for it. `PIPE` gives a stream; `program`: see run."""
    trace(" ".join(argv))
    try:
        return subprocess.Popen(
            list(argv), stdin=stdin, stdout=stdout, stderr=stderr, env=dict(env) if env is not None else None,
            cwd=cwd, pass_fds=tuple(pass_fds), start_new_session=new_session, executable=program,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise missing_tool(argv[0]) from exc


def kill_group(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process group that we started."""
    with contextlib.suppress(ProcessLookupError):  # already gone, which is what we want
        os.killpg(pid, number)


def find_tool(name: str) -> Path | None:
    """Return where a program is, /usr/sbin included, or None."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    return Path(found) if found else None


def missing_tool(name: str) -> HostProblem:
    """Return the error for a program that is not installed."""
    return HostProblem(f"Could not find '{name}'", remedy="run: paas doctor")


class LastLines:
    """Hands each line on and remembers the last ones, which explain a failure."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._last: deque[str] = deque(maxlen=TAIL_LINES)

    def __call__(self, line: str) -> None:
        self._last.append(line)
        self._on_line(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """Return what is remembered, oldest first."""
        return tuple(self._last)
