"""What the containers of one tenant share: uid range, user namespace, bridge. Made once, then found by a glance.

The user namespace is kept by a bind mount, so that mounts can be mapped with it and containers join it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paas.engines.embedded.spec import IDS_PER_TENANT
from paas.errors import HostProblem
from paas.host import kernel
from paas.host.files import flock
from paas.host.run import PIPE, spawn
from paas.model.container import Tenant
from paas.network import bridge, firewall
from paas.network.ipam import TenantNetwork, tenant_network
from paas.paths import Paths
from paas.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """The shared parts of all tenants of one instance."""

    paths: Paths
    settings: Settings

    @property
    def directory(self) -> Path:
        return self.paths.run / "tenants"

    def uid_base(self, tenant: Tenant) -> int:
        """Return the host uid that is root in the tenant's containers."""
        return self.uid_base_of(tenant.number)

    def uid_base_of(self, number: int) -> int:
        """Return the first host uid of the tenant with this number."""
        return self.settings.uid_start + number * IDS_PER_TENANT

    def network(self, tenant: Tenant) -> TenantNetwork:
        """Return the tenant's network, which may not be up."""
        return tenant_network(self.settings.network_pool, self.settings.network_prefix, tenant.number)

    def user_namespace(self, tenant: Tenant) -> Path:
        """Return where the tenant's user namespace is kept."""
        return self.directory / str(tenant.number)

    def ensure(self, tenant: Tenant, *, with_network: bool) -> None:
        """Make what is missing. Raises HostProblem."""
        if not self._has_user_namespace(tenant) or (with_network and not bridge.has_bridge(self.network(tenant))):
            with flock(self.paths.locks / "tenants", what="setting up a tenant"):
                if not self._has_user_namespace(tenant):
                    self._make_user_namespace(tenant)
                if with_network and not bridge.has_bridge(self.network(tenant)):
                    self._make_network(tenant)

    def release(self, tenant: Tenant) -> None:
        """Remove what the tenant's containers shared."""
        with flock(self.paths.locks / "tenants", what="removing a tenant"):
            bridge.remove_interface(self.network(tenant).bridge)
            kernel.unmount(self.user_namespace(tenant))
            self.user_namespace(tenant).unlink(missing_ok=True)

    def restore_firewall(self) -> None:
        """Bring the firewall to what the bridges that are there need."""
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        web = (self.settings.http_port, self.settings.https_port)
        firewall.install(self.settings.network_prefix, self.settings.network_pool, self._bridges(), web)

    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the tenants that have a user namespace or a bridge."""
        named = [n.removeprefix(f"{self.settings.network_prefix}b") for n in self._bridges()]
        with contextlib.suppress(FileNotFoundError):
            named += [path.name for path in self.directory.iterdir()]
        return tuple(sorted({int(name) for name in named if name.isdecimal()}))

    def _bridges(self) -> tuple[str, ...]:
        return tuple(n for n in bridge.interfaces(self.settings.network_prefix) if self._is_bridge(n))

    def _is_bridge(self, name: str) -> bool:
        return name.removeprefix(f"{self.settings.network_prefix}b").isdecimal()

    def _has_user_namespace(self, tenant: Tenant) -> bool:
        path = self.user_namespace(tenant)
        try:
            return path.stat().st_dev != self.directory.stat().st_dev  # it is nsfs's
        except FileNotFoundError:
            return False

    def _make_user_namespace(self, tenant: Tenant) -> None:
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        path = self.user_namespace(tenant)
        path.touch(mode=0o600)
        try:
            with _held_user_namespace(self.uid_base(tenant)) as namespace:
                kernel.bind(namespace, path)
        except OSError as exc:
            path.unlink(missing_ok=True)
            raise HostProblem(
                f"Could not make a user namespace: {exc}", remedy="check: sysctl user.max_user_namespaces"
            ) from exc

    def _make_network(self, tenant: Tenant) -> None:
        bridge.make_bridge(self.network(tenant))
        self.restore_firewall()


@contextlib.contextmanager
def _held_user_namespace(base: int) -> Iterator[Path]:
    """Hold a process in a new user namespace that maps its 65,536 ids to those from `base`; yield the namespace's file."""
    process = spawn(["unshare", "--user", "--", "cat"], stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None and process.stdout is not None
    with process:
        process.stdin.write(b"\n")
        process.stdin.flush()
        if process.stdout.readline() != b"\n":  # the echo says that cat runs, so unshare is through
            raise OSError("unshare --user was refused")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(f"0 {base} {IDS_PER_TENANT}\n")
        yield Path(f"/proc/{process.pid}/ns/user")
