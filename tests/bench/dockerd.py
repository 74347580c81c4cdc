"""A Docker engine of a benchmark's own, from Debian's packages: own data root, exec root, socket and bridge; ended by its pid.

    apt-get download docker.io containerd runc, unpacked anywhere with dpkg -x, and PATH=<there>/usr/bin:<there>/usr/sbin:$PATH;
or the packages installed. dockerd changes the firewall of the network namespace that it runs in; to keep that off the machine:
    unshare --net --mount sh -c 'mount -t sysfs sysfs /sys; mount --rbind <cgroups> /sys/fs/cgroup; ip link set lo up; python ...'
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A running Docker engine: its processes (dockerd and containerd) and how to talk to it."""

    client: str
    socket: Path
    pid: int

    def argv(self, *words: str) -> list[str]:
        """Return a whole command line."""
        return [self.client, "-H", f"unix://{self.socket}", *words]

    def __call__(self, *words: str) -> str:
        """Run a docker command; return what it says."""
        return subprocess.run(self.argv(*words), check=True, capture_output=True, text=True).stdout.strip()

    def build_server(self, binary: Path, busybox: Path, name: str) -> None:
        """Make an image of a static web server, and `true` of busybox."""
        with tempfile.TemporaryDirectory() as context:
            shutil.copy2(binary, Path(context, "server"))
            shutil.copy2(busybox, Path(context, "true"))
            Path(context, "Dockerfile").write_text('FROM scratch\nCOPY server true /bin/\nCMD ["/bin/server"]\n')
            self("build", "-q", "-t", name, context)


@contextlib.contextmanager
def docker_engine() -> Iterator[Docker | None]:
    """Start dockerd and end it; None where none is installed."""
    daemon, client = shutil.which("dockerd"), _client()
    if daemon is None or client is None:
        yield None
        return
    root = Path(tempfile.mkdtemp(prefix="docker-bench-"))
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [daemon, "-H", f"unix://{root}/sock", "--data-root", root / "lib", "--exec-root", root / "run",
             "--pidfile", root / "pid", "--bip", "172.30.77.1/24"],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    docker = Docker(client=client, socket=root / "sock", pid=process.pid)
    try:
        _wait_for(docker, process, root / "log")
        yield docker
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            containers = docker("ps", "-aq").split()
            if containers:
                docker("rm", "-f", *containers)
        process.terminate()
        process.wait(60)
        shutil.rmtree(root, ignore_errors=True)


def _client() -> str | None:
    """Return Debian's client beside the daemon rather than another one that comes first."""
    daemon = shutil.which("dockerd")
    beside = Path(daemon).parent.parent / "bin/docker" if daemon else None
    return str(beside) if beside is not None and os.access(beside, os.X_OK) else shutil.which("docker")


def _wait_for(docker: Docker, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while subprocess.run(docker.argv("info"), capture_output=True, check=False).returncode:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("dockerd did not start:\n" + log.read_text()[-2000:])
        time.sleep(0.1)
