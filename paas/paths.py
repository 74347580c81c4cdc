"""Where everything lives. Nobody else joins these paths.

`PAAS_ROOT` (default /var/lib/paas) survives a reboot; `PAAS_RUN` (default /run/paas) does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The directories and files of one instance."""

    root: Path
    run: Path
    etc: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Read PAAS_ROOT, PAAS_RUN and PAAS_ETC."""
        return cls(
            root=Path(environ.get("PAAS_ROOT", "/var/lib/paas")),
            run=Path(environ.get("PAAS_RUN", "/run/paas")),
            etc=Path(environ.get("PAAS_ETC", "/etc/paas")),
        )

    @property
    def settings_file(self) -> Path:
        return self.etc / "paas.toml"

    @property
    def database(self) -> Path:
        return self.root / "paas.db"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def logins(self) -> Path:
        """Return the directory of registries' credentials."""
        return self.root / "registry"

    @property
    def registries_file(self) -> Path:
        """Return mirrors and insecure registries of this instance: registries.conf(5); without it, the machine's is read."""
        return self.etc / "registries.conf"

    @property
    def registry_certs(self) -> Path:
        """Return certificates of registries, `<host[:port]>/ca.crt`: containers-certs.d(5)."""
        return self.etc / "certs.d"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def repos(self) -> Path:
        return self.root / "repos"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def builds(self) -> Path:
        return self.root / "builds"

    @property
    def ssh(self) -> Path:
        return self.root / "ssh"

    @property
    def host_keys(self) -> Path:
        return self.ssh / "host_keys"

    @property
    def authorized_keys(self) -> Path:
        return self.ssh / "authorized_keys"

    @property
    def socket(self) -> Path:
        return self.run / "paas.sock"

    @property
    def serve_pid(self) -> Path:
        return self.run / "serve.pid"

    @property
    def serve_log(self) -> Path:
        """Return what a detached server writes; under systemd it is the journal."""
        return self.root / "serve.log"

    @property
    def locks(self) -> Path:
        return self.run / "locks"

    def container_lock(self, app: str) -> Path:
        """Return the lock that whoever changes the app's containers or routes holds."""
        return self.locks / "containers" / f"{app}.lock"

    def app_lock(self, app: str) -> Path:
        """Return the lock that is the app's turn."""
        return self.locks / f"{app}.lock"

    def app_queue(self, app: str) -> Path:
        """Return where the pushes that wait for the app's turn stand."""
        return self.run / "queue" / app

    def stopped_first(self, app: str) -> Path:
        """Return the note of what a command stopped before its replacement ran."""
        return self.run / "stopped-first" / app

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def proxy_socket(self) -> Path:
        """Return nginx's control socket: not below `run`, as nginx must be able to bind it at boot before we have run."""
        return self.root / "proxy" / "nginx.sock"

    @property
    def upstreams(self) -> Path:
        return self.root / "proxy" / "upstreams"

    @property
    def share(self) -> Path:
        """Return the directory with buildpacks/, nginx-templates/ and hooks/: the checkout, or where the installer put it."""
        checkout = Path(__file__).resolve().parent.parent
        return checkout if (checkout / "buildpacks").is_dir() else Path(sys.prefix) / "share" / "paas"

    def repo(self, app: str) -> Path:
        """Return the bare git repository of the app."""
        return self.repos / f"{app}.git"

    def app_logs(self, app: str) -> Path:
        """Return the directory with the app's process logs, `<type>.<index>/<container id>.log`."""
        return self.logs / app

    def oneoff_log(self, app: str, name: str) -> Path:
        """Return what a detached one-off wrote."""
        return self.app_logs(app) / "run" / f"{name}.log"

    def cron_log(self, app: str, task: str, run_id: int) -> Path:
        """Return what one run of a scheduled task wrote."""
        return self.app_logs(app) / f"cron.{task}" / f"{run_id}.log"

    def cron_lock(self, app: str, task: str) -> Path:
        """Return the lock that whoever starts or ends runs of a scheduled task holds."""
        return self.locks / "cron" / f"{app}.{task}.lock"

    @property
    def oneoffs_started(self) -> Path:
        """Return the file whose time says when a one-off was last started in the background."""
        return self.run / "oneoffs"

    @property
    def cron_seen(self) -> Path:
        """Return the file whose time says when schedules were last looked after."""
        return self.root / "cron.seen"

    def app_logins(self, app: str) -> Path:
        """Return the app's own logins at registries."""
        return self.logins / "apps" / f"{app}.json"

    def app_source(self, app: str) -> Path:
        """Return where the app's tree is while it is deployed."""
        return self.work / "source" / app

    def app_cache(self, app: str) -> Path:
        """Return the app's build cache."""
        return self.cache / app

    def build_log(self, build_id: int) -> Path:
        """Return the full log of one build."""
        return self.builds / f"{build_id}.log"
