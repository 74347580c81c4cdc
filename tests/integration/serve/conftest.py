"""An executor of its own for each test, with commands that the tests bring along."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from paas.context import Identity
from paas.serve.executor import Executor
from paas.serve.stop import StopSignal

CLIENT = (
    "import sys; from paas.cli import client\n"
    "code = client.try_server(sys.argv[1:])\n"
    "sys.exit(250 if code is None else code)\n"
)


def sample_command(argv: Sequence[str], identity: Identity) -> int:
    """Stand in for the product's commands."""
    match list(argv):
        case ["echo", *words]:
            print(*words)
        case ["whoami"]:
            print(identity.name, identity.is_admin)
        case ["cat"]:
            sys.stdout.write(sys.stdin.read())
        case ["environ"]:
            print("\n".join(f"{k}={v}" for k, v in sorted(os.environ.items())))
        case ["pwd"]:
            print(Path.cwd())
        case ["fail", code]:
            print("failing", file=sys.stderr)
            return int(code)
        case ["crash"]:
            raise RuntimeError("a fault of ours")
        case ["die", number]:
            os.kill(os.getpid(), int(number))
        case ["descriptors"]:
            print(sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")))
        case ["ps:sleep" | "logs:sleep", seconds, mark]:
            Path(mark).with_suffix(".pid").write_text(str(os.getpid()))
            print("sleeping", flush=True)
            try:
                time.sleep(float(seconds))
            except KeyboardInterrupt:
                Path(mark).write_text("interrupted")
                raise
            Path(mark).write_text("finished")
    return 0


@dataclass(kw_only=True)
class Served:
    """A running executor and how to talk to it."""

    run_dir: Path
    pid: int
    pokes: socket.socket

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PAAS_RUN": str(self.run_dir)}

    def paas(self, *argv: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command through the client."""
        return subprocess.run(
            [sys.executable, "-c", CLIENT, *argv], env=self.env, capture_output=True, text=True, timeout=60, errors="surrogateescape", **options,  # type: ignore[call-overload]
        )  # fmt: skip

    def start(self, *argv: str, **options: object) -> subprocess.Popen[str]:
        """Start a command through the client."""
        return subprocess.Popen(
            [sys.executable, "-c", CLIENT, *argv], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **options,  # type: ignore[call-overload]
        )  # fmt: skip

    def poked(self) -> int:
        """Return how often the supervisor would have been poked."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self.pokes.recv(64):
                count += 1
        return count


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Fork an executor."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "paas.sock"))
    listener.listen(128)
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pid = os.fork()
    if pid == 0:
        try:
            Executor(listener, user="paas", run=sample_command, poke=lambda: writer.send(b"x") and None).serve(StopSignal())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    listener.close()
    reader.setblocking(False)
    yield Served(run_dir=tmp_path, pid=pid, pokes=reader)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def eventually(is_true: Callable[[], object], *, timeout_s: float = 15) -> None:
    """Poll until true."""
    until = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


