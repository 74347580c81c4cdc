"""NginxProxy: the verbs of the contract. Vhosts are files (configuration.py), upstreams are not (upstreams.py)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from paas.errors import NotFound, PaasError, RoutingFailed
from paas.host.files import flock
from paas.model.route import Upstream, Vhost
from paas.paths import Paths
from paas.proxies import Upstreams
from paas.proxies.nginx.configuration import Configuration
from paas.proxies.nginx.control import Nginx, is_master
from paas.proxies.nginx.files import read
from paas.proxies.nginx.render import Places
from paas.proxies.nginx.upstreams import UpstreamStore, upstream_text, with_missing_backends
from paas.settings import Settings


class NginxProxy:
    """Vhosts in nginx. Several processes may call it at once: changes of files wait for each other."""

    name = "nginx"

    def __init__(self, *, paths: Paths, settings: Settings) -> None:
        self._lock_file = paths.locks / "nginx.lock"
        self._places = Places(
            directory=Path(settings.nginx_dir),
            upstreams=paths.upstreams,
            socket=paths.proxy_socket,
            logs=Path(settings.nginx_log_dir),
        )
        self._upstreams = UpstreamStore(files=paths.upstreams, control=paths.proxy_socket)
        self._nginx = Nginx(settings, self._upstreams.status, paths.proxy_socket)
        self._configuration = Configuration(
            settings=settings, templates=paths.share / "nginx-templates", places=self._places, nginx=self._nginx
        )

    def apply(self, vhost: Vhost, upstreams: Upstreams) -> bool:
        """Serve the app so; say whether nginx had to be reloaded."""
        text = self._configuration.renderer.vhost(vhost)
        file = self._configuration.file(vhost.app)
        with self._lock(f"apply {vhost.app}"):
            is_changed = not self._is_settled() or read(file) != text.encode()
            if is_changed:
                before = self._configuration.read_before({file: text})
                self._configuration.refuse_taken_ports(vhost, before)
                with self._upstreams_ahead(vhost.app, upstreams):
                    self._configuration.change({file: text}, before=before)
            else:
                self.set_upstreams(vhost.app, upstreams)
        return is_changed

    def set_upstreams(self, app: str, upstreams: Upstreams) -> None:
        """Send new requests to these from now on."""
        text = upstream_text(upstreams)
        self._upstreams.persist(app, text)
        self._upstreams.push(app, text)

    def in_flight(self, app: str, upstream: Upstream) -> int:
        """Return how many requests the upstream is answering."""
        return self._upstreams.in_flight(upstream)

    def remove(self, app: str) -> None:
        """Stop serving the app."""
        file = self._configuration.file(app)
        with self._lock(f"remove {app}"):
            if file.exists():
                self._configuration.change({file: None}, before=self._configuration.read_before({file: None}))
            self._upstreams.remove(app)

    def show(self, app: str) -> str:
        """Return the app's vhost as it is on disk."""
        content = read(self._configuration.file(app))
        if content is None:
            raise NotFound(f"nginx serves nothing for {app}", remedy="it does so after the app's first deploy")
        return content.decode()

    def validate(self) -> None:
        """Test the whole configuration."""
        self._nginx.test()

    def sync(self, wanted: Mapping[str, tuple[Vhost, Upstreams]]) -> tuple[str, ...]:
        """Serve exactly these apps; say what was changed and what had to be left out."""
        with self._lock("sync"):
            texts, said = self._render_all(wanted)
            for app in self._upstreams.apps() - wanted.keys():
                self._upstreams.remove(app)
            for app, (_, upstreams) in wanted.items():
                self._upstreams.persist(app, upstream_text(upstreams))
            before = self._configuration.read_by_nginx()
            files = self._configuration.with_shared(texts, before)
            different = [file for file, text in files.items() if read(file) != (None if text is None else text.encode())]
            if different or not self._is_settled():
                said += self._configuration.change_all(texts, before=before)
                said += [f"{'removed' if files[file] is None else 'wrote'} {file}" for file in different]
            for app, (_, upstreams) in wanted.items():
                self._upstreams.push(app, upstream_text(upstreams))
        return tuple(said)

    def is_running(self) -> bool:
        """Say whether nginx answers and its master lives. Workers whose master was killed answer on, and can be told nothing."""
        try:
            status = self._upstreams.status()
        except RoutingFailed:
            return False
        return status is not None and is_master(status.master)

    def log_files(self, app: str) -> Mapping[str, Path]:
        """Return the access and error log of the app."""
        return {"access": self._places.access_log(app), "error": self._places.error_log(app)}

    def preload(self) -> None:
        """Compile the templates now."""
        self._configuration.renderer.preload()

    def _render_all(self, wanted: Mapping[str, tuple[Vhost, Upstreams]]) -> tuple[dict[Path, str | None], list[str]]:
        renderer, said = self._configuration.renderer, []
        texts: dict[Path, str | None] = dict.fromkeys(self._configuration.files())
        for app, (vhost, _) in wanted.items():
            try:
                texts[self._configuration.file(app)] = renderer.vhost(vhost)
            except PaasError as exc:
                said.append(f"left out {app}: {exc.message}")
        return texts, said

    def _is_settled(self) -> bool:
        """Say whether the running nginx has read what is on disk."""
        status = self._upstreams.status()
        return status is not None and status.generation == self._configuration.generation() and is_master(status.master)

    @contextlib.contextmanager
    def _upstreams_ahead(self, app: str, upstreams: Upstreams) -> Iterator[None]:
        """Have the new upstreams in place before the vhost that needs them.

        Backends that only the old vhost knows stay in nginx's memory until the next change: a request that came just before the
        reload may still go by them.
        """
        text, on_disk, live = upstream_text(upstreams), self._upstreams.read(app), self._upstreams.current(app)
        self._upstreams.persist(app, text)
        self._upstreams.push(app, with_missing_backends(text, live))
        try:
            yield
        except BaseException:
            self._upstreams.persist(app, on_disk)
            self._upstreams.push(app, live)
            raise

    def _lock(self, what: str) -> AbstractContextManager[None]:
        return flock(self._lock_file, what=what)
