"""A whole instance of paas beside whatever else runs on this machine: own directories, ports, networks, nginx and keys.

Only real parts: the server process, git, ssh, nginx, the kernel. Directories are short, as unix socket paths must be.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slots import claim_slot

TEST_ROOT = Path(os.environ.get("PAAS_TEST_ROOT", "/var/tmp/paas-tests"))
#: Image store with the base image, made by tests/run.sh; instances begin with hard links to it.
STACK_IMAGES = TEST_ROOT / "stack" / "root" / "images"
#: Where tests make what they take away again: on the disk of the base image, whose files they link; /tmp may be in memory.
SCRATCH = TEST_ROOT.parent
PAAS = Path(sys.executable).parent / "paas"
APPS = Path(__file__).parent / "apps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command did."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def expect(self, code: int = 0) -> Result:
        """Return itself, or fail the test showing all it said."""
        assert self.code == code, f"{' '.join(self.argv)}: exit {self.code}, not {code}\n{self.stdout}\n{self.stderr}"
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer over HTTP; status 0 means that the connection was closed or refused."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: str | None = None,
        cwd: Path | None = None, timeout_s: float = 180) -> Result:
    """Run a command to its end."""
    done = subprocess.run(
        [str(a) for a in argv], env={**os.environ, **(env or {})}, cwd=cwd, timeout=timeout_s, text=True, capture_output=True,
        errors="surrogateescape", **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}),
    )  # fmt: skip
    return Result(argv=tuple(map(str, argv)), code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def wait_until(what: str, is_true: Callable[[], Any], *, timeout_s: float = 30) -> Any:
    """Poll until `is_true` returns something true, and return it."""
    until = time.monotonic() + timeout_s
    while True:
        found = is_true()
        if found:
            return found
        assert time.monotonic() < until, f"waited {timeout_s} s in vain: {what}"
        time.sleep(0.02)


def free_port() -> int:
    """Return a TCP port that nobody listens on, below the ephemeral range."""
    for port in range(21_000 + os.getpid() % 5000, 32_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("", port))
                if port not in _TAKEN:
                    _TAKEN.add(port)
                    return port
    raise AssertionError("no free port")


_TAKEN: set[int] = set()


class Instance:
    """A running instance. Use as a context manager; leaves nothing behind."""

    def __init__(self, *, root: Path | None = None, settings: Mapping[str, object] | None = None) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pt", dir=SCRATCH))
        self.base.chmod(0o755)
        self.slot = claim_slot()
        self.root = root or self.base / "lib"
        self.run_dir, self.etc = self.base / "run", self.base / "etc"
        self.http_port, self.https_port, self.ssh_port = free_port(), free_port(), free_port()
        self.prefix = self.slot.prefix
        self.key = self.base / "key"
        self.log = self.base / "serve.log"
        self.server: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, object] = {
            "domain": "localhost", "user": "paas", "ssh_port": self.ssh_port, "ssh_address": "127.0.0.1",
            "http_port": self.http_port, "https_port": self.https_port,
            "nginx_main": str(self.etc / "nginx.conf"), "nginx_dir": str(self.etc / "nginx"),
            "nginx_log_dir": str(self.base / "nginx-logs"),
            "cgroup_favordynmods": False,  # the whole machine's, which an installation that is removed must leave as it was
            "wait_to_retire_s": 5, **self.slot.settings, **(settings or {}),
        }  # fmt: skip

    # -- life

    def __enter__(self) -> Instance:
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.destroy()

    def _prepare(self) -> None:
        for directory in (self.root, self.run_dir, self.etc, self.etc / "nginx"):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)
        assert STACK_IMAGES.is_dir(), f"{STACK_IMAGES} is missing: run tests/run.sh"
        self._share_stack()
        self.write_settings()
        (self.etc / "nginx.conf").write_text(self._nginx_main())
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tester", "-f", self.key]).expect()

    def _share_stack(self) -> None:
        """Begin with the stack's images, by hard links: nobody writes to a layer."""
        is_same_disk = STACK_IMAGES.stat().st_dev == self.root.stat().st_dev
        run(["cp", "-al" if is_same_disk else "-a", STACK_IMAGES, self.root / "images"]).expect()

    def write_settings(self, **changes: object) -> None:
        """Write paas.toml; the server reads it when it starts."""
        self.settings |= changes
        lines = [f"{key.replace('_', '-')} = {_toml(value)}" for key, value in self.settings.items()]
        (self.etc / "paas.toml").write_text("\n".join(lines) + "\n")

    def _nginx_main(self) -> str:
        return (
            f"user www-data;\nworker_processes 2;\npid {self.run_dir}/nginx.pid;\nerror_log {self.base}/nginx-error.log;\n"
            "include /etc/nginx/modules-enabled/*.conf;\nevents { worker_connections 4096; }\n"
            f"http {{\n  access_log off;\n  include {self.etc}/nginx/*.conf;\n}}\n"
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                [PAAS, "serve"], env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        wait_until("the server answers", self._is_ready, timeout_s=60)
        self.paas("ssh-keys:remove", "tester")
        self.paas("ssh-keys:add", "tester", stdin=self.key.with_suffix(".pub").read_text()).expect()

    def _is_ready(self) -> bool:
        assert self.server is not None and self.server.poll() is None, f"the server ended:\n{self.log.read_text()[-4000:]}"
        if not (self.run_dir / "paas.sock").exists():
            return False
        return _listens(self.ssh_port)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Signal the server's main process and wait for its end. Containers go on."""
        if self.server is not None:
            self.server.send_signal(number)
            self.server.wait(60)
            self.server = None

    def kill_commands(self) -> None:
        """Kill -9 all that the server's children have forked: commands, and the supervisor's workers."""
        assert self.server is not None
        for child in _children(self.server.pid):
            for command in _children(child):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(command, signal.SIGKILL)

    def shut_down(self, *container_pids: int) -> None:
        """End all that a shutdown of the machine ends, politely, and take away what does not survive it."""
        self.stop()
        ended = (*container_pids, int((self.run_dir / "nginx.pid").read_text()))
        for pid in ended:
            with contextlib.suppress(ProcessLookupError):  # retired while we looked
                os.kill(pid, signal.SIGTERM)
        for pid in ended:
            wait_until("it has ended", lambda pid=pid: not _is_running(pid))
        self._remove_networks()
        for target in reversed(self._mounts()):
            run(["umount", "-l", target])
        shutil.rmtree(self.run_dir)
        self.run_dir.mkdir()
        self.run_dir.chmod(0o755)

    def destroy(self) -> None:
        """Remove the instance with all that it made."""
        with contextlib.suppress(Exception):
            self.stop()
        containers = self.paas("container:ps", "--all", "--quiet").stdout.split()
        if containers:
            self.paas("container:rm", "--force", *containers)
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.run_dir / "nginx.pid").read_text()), signal.SIGTERM)
        self._remove_networks()
        for target in reversed(self._mounts()):
            run(["umount", "-l", target])
        self._remove_cgroups()
        shutil.rmtree(self.base, ignore_errors=True)
        self.slot.release()

    def _remove_cgroups(self) -> None:
        roots = (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir())
        for top in (root / f"paas-test-{self.prefix}" for root in roots):
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()

    def _mounts(self) -> list[str]:
        targets = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [t for t in targets if t.startswith(f"{self.base}/") or t.startswith(f"{self.root}/")]

    def _remove_networks(self) -> None:
        for link in run(["ip", "-o", "link"]).stdout.splitlines():
            name = link.split(": ")[1].split("@")[0]
            if name.startswith(f"{self.prefix}b"):
                run(["ip", "link", "del", name])
        for table in run(["nft", "list", "tables"]).stdout.splitlines():
            words = table.split()
            if words[-1] == self.prefix or words[-1].startswith(f"{self.prefix}_"):
                run(["nft", "delete", *words])

    # -- use

    @property
    def env(self) -> dict[str, str]:
        return {"PAAS_ROOT": str(self.root), "PAAS_RUN": str(self.run_dir), "PAAS_ETC": str(self.etc)}

    def paas(self, *argv: str, stdin: str | None = None, timeout_s: float = 180) -> Result:
        """Run the `paas` command as root on this machine."""
        return run([PAAS, *argv], env=self.env, stdin=stdin, timeout_s=timeout_s)

    @property
    def ssh_argv(self) -> list[str]:
        return [
            "ssh", "-p", str(self.ssh_port), "-i", str(self.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.base}/known_hosts", "-o", "LogLevel=ERROR",
        ]  # fmt: skip

    def ssh(self, *argv: str, stdin: str | None = None, timeout_s: float = 180, options: Sequence[str] = ()) -> Result:
        """Run a command as a user does: `ssh -p PORT paas@localhost <argv>`."""
        return run([*self.ssh_argv, *options, "paas@127.0.0.1", *argv], stdin=stdin, timeout_s=timeout_s)

    def ssh_background(self, *argv: str, options: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a command over SSH; its output is merged into stdout."""
        return subprocess.Popen(
            [*self.ssh_argv, *options, "paas@127.0.0.1", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def repository(self, files: Mapping[str, str]) -> Repository:
        """Make a git work tree with these files, committed on master."""
        directory = Path(tempfile.mkdtemp(prefix="repo", dir=self.base))
        repository = Repository(directory=directory, instance=self)
        repository.git("init", "-q", "-b", "master")
        repository.commit(files)
        return repository

    def get(self, host: str, path: str = "/", *, port: int = 0, timeout_s: float = 10) -> Response:
        """GET a page through nginx."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http_port, timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return Response(status=answer.status, text=answer.read().decode(errors="replace"), headers=dict(answer.getheaders()))
        except (OSError, http.client.HTTPException):
            return Response(status=0)
        finally:
            connection.close()

    def url(self, app: str, path: str = "/") -> str:
        """Return the address that a browser opens."""
        return f"http://{app}.localhost:{self.http_port}{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A developer's work tree with the instance as its remote."""

    directory: Path
    instance: Instance

    def git(self, *argv: str, timeout_s: float = 300) -> Result:
        """Run git in the work tree, over this instance's SSH key."""
        env = {
            "GIT_SSH_COMMAND": " ".join(self.instance.ssh_argv[:1] + self.instance.ssh_argv[3:]),
            "GIT_AUTHOR_NAME": "tester", "GIT_AUTHOR_EMAIL": "t@localhost", "GIT_TERMINAL_PROMPT": "0",
            "GIT_COMMITTER_NAME": "tester", "GIT_COMMITTER_EMAIL": "t@localhost", "GIT_CONFIG_GLOBAL": "/dev/null",
        }  # fmt: skip
        return run(["git", *argv], env=env, cwd=self.directory, timeout_s=timeout_s)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files into the work tree."""
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, files: Mapping[str, str]) -> str:
        """Write files, commit them and return the revision."""
        self.write(files)
        self.git("add", "-A").expect()
        self.git("commit", "-q", "--allow-empty", "-m", "a change").expect()
        return self.git("rev-parse", "HEAD").expect().stdout.strip()

    def remote(self, app: str) -> str:
        """Return the URL to push the app to."""
        return f"ssh://paas@127.0.0.1:{self.instance.ssh_port}/{app}"

    def push(self, app: str, refspec: str = "master", *options: str, timeout_s: float = 300) -> Result:
        """`git push` over real SSH."""
        return self.git("push", *options, self.remote(app), refspec, timeout_s=timeout_s)


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@contextlib.contextmanager
def openssh(instance: Instance) -> Iterator[int]:
    """Run the machine's own sshd in front of the instance, configured as vagrant/sshd.conf does; yield its port."""
    port, directory = free_port(), Path(tempfile.mkdtemp(prefix="sshd", dir=instance.base))
    directory.chmod(0o755)  # sshd reads the keys as the user who logs in
    Path("/run/sshd").mkdir(exist_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "host"]).expect()
    drop_in = (Path(__file__).parent.parent / "vagrant" / "sshd.conf").read_text()
    # What is tested is the checkout, also where the program is installed on this machine.
    keys = directory / "authorized_keys"
    keys.write_text((instance.root / "ssh" / "authorized_keys").read_text().replace("/usr/local/bin/paas", str(PAAS)))
    drop_in = drop_in.replace("/var/lib/paas/ssh/authorized_keys", str(keys))
    # The directory above is for everybody, which sshd does not like to see above a file with keys.
    main = f"HostKey {directory}/host\nPidFile {directory}/pid\nUsePAM no\nStrictModes no\nListenAddress 127.0.0.1\n{drop_in}"
    (directory / "config").write_text(main)
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", directory / "config", "-p", str(port)], stderr=log)
    try:
        wait_until("sshd listens", lambda: _listens(port))
        yield port
    finally:
        server.terminate()
        server.wait()


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def loop_disk(size_mb: int) -> Iterator[Path]:
    """Yield a directory on a small ext4 disk of its own."""
    base = Path(tempfile.mkdtemp(prefix="ptd", dir=SCRATCH))
    base.chmod(0o755)  # the gateway, which is not root, looks for keys in there
    image, target = base / "disk.img", base / "d"
    target.mkdir()
    with image.open("wb") as stream:
        stream.truncate(size_mb << 20)
    try:
        run(["mkfs.ext4", "-q", "-m", "0", image]).expect()
        run(["mount", "-o", "loop", image, target]).expect()
        yield target
    finally:
        run(["umount", "-l", target])
        shutil.rmtree(base, ignore_errors=True)
