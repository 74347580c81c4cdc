"""Our part of nginx's configuration: written, tested, taken over by the running workers, and brought back when that fails.

    <nginx_dir>/paas.conf       what all share: balancer, control socket; includes vhosts/
    <nginx_dir>/default.conf    closes connections for names that nobody has
    <nginx_dir>/generation      a token that the workers repeat: which configuration they have read
    <nginx_dir>/vhosts/<app>.conf, errors/, lua/

Callers hold the lock: one change at a time.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from paas.errors import RoutingFailed
from paas.model.route import Vhost
from paas.proxies.nginx.control import Nginx
from paas.proxies.nginx.dump import Dump
from paas.proxies.nginx.files import changed, read, tried, write
from paas.proxies.nginx.render import ERROR_STATUSES, Places, Renderer, http_ports
from paas.settings import Settings

_LISTEN = re.compile(r"^    listen (\d+)", re.MULTILINE)
_GENERATION = re.compile(r'paas_generation "(\w+)"')

#: New texts of files; None removes one.
Changes = Mapping[Path, str | None]


class Configuration:
    """The files below nginx_dir."""

    def __init__(self, *, settings: Settings, templates: Path, places: Places, nginx: Nginx) -> None:
        self._settings = settings
        self._templates = templates
        self._places = places
        self._nginx = nginx
        self._vhosts = places.directory / "vhosts"

    def file(self, app: str) -> Path:
        """Return where the app's vhost is."""
        return self._vhosts / f"{app}.conf"

    def files(self) -> tuple[Path, ...]:
        """Return all vhosts there are."""
        return tuple(sorted(self._vhosts.glob("*.conf")))

    @cached_property
    def renderer(self) -> Renderer:
        """Return the templates, for this machine."""
        return Renderer(self._templates, self._places, has_ipv6=_has_ipv6())

    def generation(self) -> str:
        """Return the token on disk, '' before the first change."""
        found = _GENERATION.search((read(self._places.directory / "generation") or b"").decode())
        return found[1] if found else ""

    def change(self, changes: Changes, *, before: Dump | None) -> None:
        """Write, test, take over. Raises RoutingFailed; then all files are what they were and nginx serves them."""
        generation = secrets.token_hex(8)
        token = {self._places.directory / "generation": f'set $paas_generation "{generation}";\n'}
        self._make_directories()
        is_taken_over = True
        try:
            with changed({**token, **self.with_shared(changes, before)}):
                tested = self._test_and_include()
                is_taken_over = False
                self._nginx.take_over(generation, tested)
        except RoutingFailed:
            if not is_taken_over:
                self._nginx.nudge()  # if it was only slow, what it reads from now on is the old configuration
            raise

    def change_all(self, changes: Changes, *, before: Dump | None) -> tuple[str, ...]:
        """Do the same, but leave out vhosts that nginx refuses; say which and why."""
        try:
            self.change(changes, before=before)
            return ()
        except RoutingFailed:
            refused = self._refused_alone(changes, before)
            if not refused:
                raise
        self.change({**changes, **dict.fromkeys(refused)}, before=before)
        return tuple(f"left out {file.stem}: {problem}" for file, problem in refused.items())

    def read_before(self, changes: Changes) -> Dump | None:
        """Return the whole configuration as it is now if these changes need to know it: when ports come or go.

        Reading it costs as much as a test. What others have on the ports that stay was looked at when those came.
        """
        shared = self._places.directory / "paas.conf"
        return self.read_by_nginx() if not shared.exists() or self._ports(changes) != self._ports({}) else None

    def read_by_nginx(self) -> Dump | None:
        """Return the whole configuration as it is now, None if nginx refuses it."""
        try:
            return self._nginx.test()
        except RoutingFailed:
            return None

    def with_shared(self, changes: Changes, before: Dump | None) -> dict[Path, str | None]:
        """Return the changes together with all files that do not belong to one app, as they must be then."""
        directory, renderer = self._places.directory, self.renderer
        files: dict[Path, str | None] = {
            directory / "lua" / source.name: source.read_text() for source in sorted((self._templates / "lua").iterdir())
        }
        files |= {directory / "errors" / f"{status}.html": renderer.error_page(status) for status in ERROR_STATUSES}
        shared, default = directory / "paas.conf", directory / "default.conf"
        if before is not None or not shared.exists():
            foreign = (before or Dump(files={})).others(directory)
            files[shared] = renderer.shared(claims_hash_sizes=not foreign.sets("server_names_hash_bucket_size"))
            files[default] = renderer.default_server(self._ports(changes), foreign.default_listens())
        return {**files, **changes}

    def refuse_taken_ports(self, vhost: Vhost, before: Dump | None) -> None:
        """Raise RoutingFailed when another program has one of the vhost's ports: nginx -t does not see that."""
        for port in http_ports(vhost):
            if before is not None and str(port.host) not in before.listens() and not _is_free(port.host):
                raise RoutingFailed(
                    f"Port {port.host} of this machine is in use by another program",
                    remedy=f"see who: ss -ltnp sport = :{port.host}; or map another: paas ports:set {vhost.app} http:8080:5000",
                )

    def _refused_alone(self, changes: Changes, before: Dump | None) -> dict[Path, str]:
        """Return the vhosts that nginx refuses even without the others, and its words: it does not always name the file."""
        refused: dict[Path, str] = {}
        with tried(self.with_shared(dict.fromkeys(changes), before)):
            self._nginx.test()
            for file, text in changes.items():
                write(file, text)
                try:
                    self._nginx.test()
                except RoutingFailed as exc:
                    refused[file] = exc.output[0] if exc.output else exc.message
                write(file, None)
        return refused

    def _ports(self, changes: Changes) -> set[int]:
        texts = {file: file.read_text() for file in self.files()} | dict(changes)
        return {self._settings.http_port, *(int(port) for text in texts.values() if text for port in _LISTEN.findall(text))}

    def _make_directories(self) -> None:
        self._places.logs.mkdir(parents=True, exist_ok=True)
        for directory in (self._places.directory, self._vhosts, self._places.directory / "errors"):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)  # the workers read the error pages, whatever our umask is
        self._places.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._places.socket.parent.chmod(0o700)  # nginx makes sockets that everybody may write to

    def _test_and_include(self) -> Dump:
        """Test; have nginx read our files if it does not yet. Returns the whole configuration."""
        shared = self._places.directory / "paas.conf"
        tested = self._nginx.test()
        if tested.reads(shared):
            return tested
        line = f"include {self._places.directory}/*.conf;\n"
        main = Path(self._settings.nginx_main)
        if (main.parent / "conf.d").is_dir():
            (main.parent / "conf.d" / "paas.conf").write_text(line)
            tested = self._nginx.test()
            if tested.reads(shared):
                return tested
        raise RoutingFailed(f"nginx does not read {shared}", remedy=f"put this into the http block of {main}: {line.strip()}")


def _has_ipv6() -> bool:
    return bool(read(Path("/proc/net/if_inet6")))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
