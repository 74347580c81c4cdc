"""nginx as a process: test its configuration, start it, let it take over a new one. Never restarts it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from paas.errors import CommandFailed, RoutingFailed
from paas.host.run import run
from paas.proxies.nginx.dump import Dump, parse_dump
from paas.proxies.nginx.upstreams import Status
from paas.settings import Settings

#: With thousands of certificates nginx needs seconds to read its configuration (performance.md).
_TAKEOVER_TIMEOUT_S = 30.0
_POLL_S = 0.005
_SYSTEMD = Path("/run/systemd/system")
#: The configuration that Debian's nginx.service starts.
_DEBIAN_MAIN = "/etc/nginx/nginx.conf"
#: Where Debian's nginx writes its pid when the configuration does not say (its --pid-path).
_DEBIAN_PID = "/run/nginx.pid"


class Nginx:
    """The program and its running instance. `status` asks the running one by its `control` socket (upstreams.UpstreamStore)."""

    def __init__(self, settings: Settings, status: Callable[[], Status | None], control: Path) -> None:
        self._binary = settings.nginx_binary
        self._main = settings.nginx_main
        self._status, self._control = status, control

    def test(self) -> Dump:
        """Test the whole configuration and return it. Raises RoutingFailed with nginx's own words."""
        try:
            return parse_dump(run([self._binary, "-T", "-q", "-c", self._main]))
        except CommandFailed as exc:
            raise RoutingFailed(
                "nginx refuses the configuration", remedy=f"test it with: nginx -t -c {self._main}", output=exc.output
            ) from exc

    def take_over(self, generation: str, configuration: Dump) -> None:
        """Start nginx, or reload it, and wait until every new request meets this generation. Raises RoutingFailed."""
        master = self._master(configuration)
        workers = _workers(master)
        if master:
            os.kill(master, signal.SIGHUP)
        else:
            self._end_orphans()
            self._start()
        deadline = time.monotonic() + _TAKEOVER_TIMEOUT_S
        while not self._is_taken_over(generation, workers):
            if time.monotonic() > deadline:
                raise RoutingFailed(
                    f"nginx did not take over its new configuration within {_TAKEOVER_TIMEOUT_S:.0f} s",
                    remedy="look into its error log: tail /var/log/nginx/error.log",
                )
            time.sleep(_POLL_S)

    def nudge(self) -> None:
        """Let nginx read its configuration again, waiting for nothing."""
        status = self._status()
        if status is not None and is_master(status.master):
            os.kill(status.master, signal.SIGHUP)

    def _master(self, configuration: Dump) -> int:
        """Return the pid of the running master, 0 when nginx is down."""
        status = self._status()
        if status is not None:
            return status.master if is_master(status.master) else 0
        # It is down, or has not read our configuration yet.
        try:
            pid = int(Path(configuration.value("pid") or _DEBIAN_PID).read_text())
        except (OSError, ValueError):
            return 0
        return pid if is_master(pid) else 0

    def _end_orphans(self) -> None:
        """Let workers whose master was killed finish: they hold the ports, and nothing else can be told to them any more."""
        if self._status() is None:
            return
        for worker in _holders(self._control):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGQUIT)

    def _start(self) -> None:
        start = [self._binary, "-q", "-c", self._main]
        if _SYSTEMD.is_dir() and self._main == _DEBIAN_MAIN:
            start = ["systemctl", "start", "nginx.service"]
        try:
            run(start)
        except CommandFailed as exc:
            remedy = f"test it with: nginx -t -c {self._main}; see who has its ports: ss -ltnp"
            raise RoutingFailed("nginx does not start", remedy=remedy, output=exc.output) from exc

    def _is_taken_over(self, generation: str, old_workers: frozenset[int]) -> bool:
        status = self._status()
        return status is not None and status.generation == generation and not any(map(_accepts, old_workers))


def is_master(pid: int) -> bool:
    """Say whether this is an nginx that takes orders."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx: master process")
    except OSError:
        return False


def _holders(control: Path) -> frozenset[int]:
    """Return the worker processes that listen on the control socket. Source: proc(5), /proc/net/unix."""
    sockets = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    links = {f"socket:[{fields[6]}]" for fields in sockets if fields[7:] == [str(control)]}
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            is_worker = (process / "cmdline").read_bytes().startswith(b"nginx: worker process")
            if is_worker and any(str(descriptor.readlink()) in links for descriptor in (process / "fd").iterdir()):
                found.add(int(process.name))
    return frozenset(found)


def _workers(master: int) -> frozenset[int]:
    if not master:
        return frozenset()
    try:
        return frozenset(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))
    except FileNotFoundError:
        return frozenset()  # it ended, or the kernel does not tell (CONFIG_PROC_CHILDREN)


def _accepts(worker: int) -> bool:
    """Say whether a worker of the old configuration still takes connections: it is alive and was not told to finish."""
    try:
        title = Path(f"/proc/{worker}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return title.startswith(b"nginx: worker process") and b"shutting down" not in title
