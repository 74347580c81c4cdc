"""Contract of a reverse proxy: makes vhosts answer. Implementation: nginx.

MUST: `apply` is all or nothing: on RoutingFailed the previous vhost of the app is back and serving. A change of upstreams
never drops a request and takes effect for every new request before `set_upstreams` returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from paas.model.route import Upstream, Vhost
from paas.paths import Paths
from paas.settings import Settings

#: Backend as text (`str(Backend)`) -> where its processes listen. With nobody there it is 502, something is wrong; a backend that
#: is not named should not run: 503, and the page says so.
Upstreams = Mapping[str, Sequence[Upstream]]


class Proxy(Protocol):
    """Made with the parts it works on: `Proxy(paths=..., settings=...)`."""

    name: str

    def __init__(self, *, paths: Paths, settings: Settings) -> None: ...

    def apply(self, vhost: Vhost, upstreams: Upstreams) -> bool:
        """Write the vhost, test, reload if its text changed, wait until the new configuration answers, set the upstreams.
        Returns whether a reload was needed. Raises RoutingFailed."""

    def set_upstreams(self, app: str, upstreams: Upstreams) -> None:
        """Send new requests to these from now on. Persistent: survives the proxy's restart."""

    def in_flight(self, app: str, upstream: Upstream) -> int:
        """Return how many requests this upstream is answering now."""

    def remove(self, app: str) -> None:
        """Stop serving the app. Idempotent."""

    def show(self, app: str) -> str:
        """Return the app's configuration as the proxy reads it. Raises NotFound."""

    def validate(self) -> None:
        """Test the whole configuration. Raises RoutingFailed with the proxy's own words."""

    def sync(self, wanted: Mapping[str, tuple[Vhost, Upstreams]]) -> tuple[str, ...]:
        """Make exactly these apps be served (after a restart): one test, one reload; start the proxy when it is down.
        Returns what was changed. A vhost that fails its test is left out and reported, the others serve."""

    def is_running(self) -> bool:
        """Say whether the proxy answers and takes orders."""

    def log_files(self, app: str) -> Mapping[str, Path]:
        """Return the access and error log of the app."""

    def preload(self) -> None:
        """Import and read now what the first change would wait for; for a process that lives long."""
