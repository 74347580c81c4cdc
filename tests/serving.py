"""An executor with commands that the tests bring along, and an SSH gateway before it: our processes without the product."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.cli.common import cancel_on_disconnect
from paas.context import Identity
from paas.host import git
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
        case ["rehearse"]:
            (Path(os.environ["PAAS_RUN"]) / f"rehearsed-{os.getpid()}").touch()
            print("heard by nobody")
            raise RuntimeError("a rehearsal may go wrong")
        case ["pid"]:
            print(os.getpid())
        case ["cat"]:
            sys.stdout.write(sys.stdin.read())
        case ["environ"]:
            print("\n".join(f"{k}={v}" for k, v in sorted(os.environ.items())))
        case ["pwd"]:
            print(Path.cwd())
        case ["fail", code]:
            print("failing", file=sys.stderr)
            return int(code)
        case ["linger", seconds]:  # as if the kernel took so long to end it
            end = os._exit
            os._exit = lambda code: time.sleep(float(seconds)) or end(code)  # type: ignore[assignment, return-value, func-returns-value]
            print("lingering")
            return 9
        case ["crash"]:
            raise RuntimeError("a fault of ours")
        case ["die", number]:
            os.kill(os.getpid(), int(number))
        case ["terminal"]:
            size = os.get_terminal_size(0)
            print(os.isatty(0), os.isatty(1), os.isatty(2), size.columns, size.lines, os.environ.get("TERM"))
        case ["follow-size"]:
            signal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size(0).columns, flush=True))
            print("following", flush=True)
            sys.stdin.readline()
        case ["count", number]:
            sys.stdout.writelines(f"{n:07}\n" for n in range(int(number)))
        case ["sum"]:
            print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())
        case [service, repository] if service in git.SERVICES:
            serve_pack(service, repository, identity)
        case ["descriptors"]:
            print(sorted(int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists()))
        case ["ps:minding" | "ps:sleep" | "logs:sleep" as name, seconds, mark]:
            if name == "ps:minding":
                cancel_on_disconnect()
            Path(mark).with_suffix(".pid").write_text(str(os.getpid()))
            try:
                print("sleeping", flush=True)
                until = time.monotonic() + float(seconds)
                while time.monotonic() < until:
                    time.sleep(0.01)  # a signal just before a long sleep would be seen only after it
            except KeyboardInterrupt:
                Path(mark).write_text("interrupted")
                raise
            Path(mark).write_text("finished")
    return 0


def serve_pack(service: str, repository: str, identity: Identity) -> None:
    """Do what the product does for git clients, with the hook of these tests."""
    base = Path(os.environ["PAAS_RUN"])
    repo = base / "repos" / f"{repository.strip('/').removesuffix('.git')}.git"
    git.ensure_repo(repo, app="test", owner="paas")
    env = {"PATH": os.environ["PATH"], "PAAS_IDENTITY": identity.name, "BASE": str(base)}
    git.serve_pack(service, repo, hooks=base / "hooks", env=env)


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
            [sys.executable, "-c", CLIENT, *argv], env=self.env, capture_output=True, text=True, timeout=60,
            errors="surrogateescape", **options,  # type: ignore[call-overload]
        )  # fmt: skip

    def start(self, *argv: str, **options: object) -> subprocess.Popen[str]:
        """Start a command through the client."""
        return subprocess.Popen(
            [sys.executable, "-c", CLIENT, *argv], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **options,  # type: ignore[call-overload]
        )  # fmt: skip

    def process_count(self) -> int:
        """Return how many processes the executor has: those that wait and those that are commands."""
        return len(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())

    def spare(self) -> int:
        """Return the process that waits for the next command, once there is one and nothing else runs."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")

        def is_alone() -> bool:
            try:
                return [Path(f"/proc/{pid}/comm").read_text() for pid in children.read_text().split()] == ["paas spare\n"]
            except FileNotFoundError:
                return False  # one has just ended

        eventually(is_alone)
        return int(children.read_text())

    def poked(self) -> int:
        """Return how often the supervisor would have been poked."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self.pokes.recv(64):
                count += 1
        return count


@contextlib.contextmanager
def executor(run_dir: Path) -> Iterator[Served]:
    """Fork an executor that listens in this directory."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(run_dir / "paas.sock"))
    (run_dir / "paas.sock").chmod(0o666)
    listener.listen(128)
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pid = os.fork()
    if pid == 0:
        try:
            os.environ["PAAS_RUN"] = str(run_dir)
            Executor(
                listener, user="paas", run=sample_command, poke=lambda: writer.send(b"x") and None, rehearsal=["rehearse"]
            ).serve(StopSignal())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    listener.close()
    reader.setblocking(False)
    try:
        yield Served(run_dir=run_dir, pid=pid, pokes=reader)
    finally:
        end(pid)


@dataclass(kw_only=True)
class Sshd:
    """A running gateway and a client that may log in to it."""

    run_dir: Path
    port: int
    pid: int
    key: Path

    def argv(self, *options: str, user: str = "paas", key: Path | None = None) -> list[str]:
        return [
            "ssh", "-F", "none", "-p", str(self.port), "-i", str(key or self.key), "-o", "IdentitiesOnly=yes",
            "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.run_dir}/known_hosts",
            "-o", "LogLevel=ERROR",
            *options, f"{user}@127.0.0.1",
        ]  # fmt: skip

    def ssh(self, *command: str, options: Sequence[str] = (), user: str = "paas", key: Path | None = None,
            stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            [*self.argv(*options, user=user, key=key), *command], input=stdin, capture_output=True, timeout=60, check=False
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *command: str, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a command."""
        return subprocess.Popen(
            [*self.argv(*options), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def git(self, directory: Path, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run git with our key."""
        env = {**os.environ, "GIT_SSH_COMMAND": " ".join(self.argv()[:-1]), "GIT_CONFIG_GLOBAL": os.devnull}
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "protocol.file.allow=always")
        return subprocess.run(["git", *identity, *argv], cwd=directory, env=env, capture_output=True, text=True, check=False)

    def url(self, app: str) -> str:
        return f"ssh://paas@127.0.0.1:{self.port}/{app}"


def make_key(path: Path, *options: str) -> str:
    """Make a key pair; return the public key."""
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "x", "-f", str(path), *(options or ("-t", "ed25519"))], check=True)
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def authorize(run_dir: Path, **keys: str) -> None:
    """Write authorized_keys as ssh-keys:add does."""
    lines = [f'command="env PAAS_RUN=/x paas ssh-command {name}",restrict,pty {key} {name}\n' for name, key in keys.items()]
    (run_dir / "ssh").mkdir(exist_ok=True)
    (run_dir / "ssh" / "authorized_keys").write_text("".join(lines))


@contextlib.contextmanager
def gateway(run_dir: Path, **settings: object) -> Iterator[Sshd]:
    """Start a gateway that knows the key `alice`."""
    authorize(run_dir, alice=make_key(run_dir / "key"))
    (run_dir / "paas.toml").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        env = {**os.environ, "PAAS_ROOT": str(run_dir), "PAAS_RUN": str(run_dir), "PAAS_ETC": str(run_dir)}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "paas.gateway", str(listener.fileno())], env=env, pass_fds=[listener.fileno()]
        )
    try:
        yield Sshd(run_dir=run_dir, port=port, pid=process.pid, key=run_dir / "key")
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """Make a directory that other users may reach, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="ps"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def end(pid: int) -> None:
    """Kill a child and wait for it."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def eventually(is_true: Callable[[], object], *, timeout_s: float = 15) -> None:
    """Poll until true."""
    until = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


