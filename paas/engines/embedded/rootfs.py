"""A container's root: image layers below, its own changes on top, stacked by overlayfs with ids mapped to the tenant's.

On disk every file has the ids that the container sees. The overlay is mounted from two short-lived idmapped clones, of the
image store and of the container's directory, so its root is the tenant's first uid for the kernel and 0 on disk.
Source: overlayfs.rst; mount_setattr(2), "ID-mapped mounts"; overlayfs accepts idmapped layers since Linux 5.19.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paas.errors import HostProblem
from paas.host import kernel
from paas.model.container import Extras

#: Files that every container gets of its own, name in the container's directory -> where it appears.
ETC_FILES = (("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf"))
_STUB_RESOLVERS = ("127.0.0.53", "127.0.0.54")
_UPSTREAM_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rootfs:
    """Where a container's root is made. `home` survives a reboot (upper, work), `scene` does not (the mount point).

    `scene` lets in the tenant's gid only: crun is in the tenant's user namespace already when it looks for the root.
    """

    home: Path
    scene: Path

    @property
    def upper(self) -> Path:
        return self.home / "upper"

    @property
    def work(self) -> Path:
        return self.home / "work"

    @property
    def root(self) -> Path:
        return self.scene / "root"

    @property
    def is_mounted(self) -> bool:
        try:
            return self.root.stat().st_dev != self.scene.stat().st_dev
        except FileNotFoundError:
            return False


def mount_rootfs(rootfs: Rootfs, images: Path, links: Sequence[Path], *, user_namespace: Path, owner: int) -> None:
    """Mount the overlay of `links` (bottom first, below `images`) and the container's upper. Raises HostProblem."""
    for directory in (rootfs.upper, rootfs.work):
        directory.mkdir(exist_ok=True)
    lower, own = rootfs.scene / "lower", rootfs.scene / "own"
    _make_scene(rootfs, owner, lower, own)
    try:
        namespace = os.open(user_namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.attach_mapped_clone(images, lower, namespace)
            kernel.attach_mapped_clone(rootfs.home, own, namespace)
        finally:
            os.close(namespace)
        if not links:  # FROM scratch: overlayfs wants a layer below
            (rootfs.home / "empty").mkdir(exist_ok=True)
        below = [str(link.relative_to(images)) for link in reversed(links)] or [str(own / "empty")]
        options = f"lowerdir={':'.join(below)},upperdir={own / 'upper'},workdir={own / 'work'}"
        if len(options) >= _PAGE_BYTES:
            raise HostProblem(f"The image has too many layers ({len(links)})", remedy="use fewer instructions, or several stages")
        kernel.call_as_owner(owner, lower, lambda: kernel.mount("overlay", rootfs.root, "overlay", options))
    except OSError as exc:
        raise HostProblem(
            f"Could not mount a container's root: {exc}",
            remedy="idmapped overlays need Linux 5.19 and a filesystem like ext4, xfs or btrfs; run: paas doctor",
        ) from exc
    finally:
        for clone in (lower, own):
            kernel.unmount(clone)
            clone.rmdir()


def unmount_rootfs(rootfs: Rootfs) -> None:
    """Take the mounts away and remove the mount points; fine if there are none."""
    for name in ("root", "lower", "own"):
        kernel.unmount(rootfs.scene / name)
        with contextlib.suppress(FileNotFoundError):
            (rootfs.scene / name).rmdir()
    with contextlib.suppress(FileNotFoundError):
        rootfs.scene.rmdir()


def _make_scene(rootfs: Rootfs, owner: int, *clones: Path) -> None:
    rootfs.scene.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    rootfs.scene.mkdir(mode=0o710, exist_ok=True)
    os.chown(rootfs.scene, 0, owner)
    for directory in (rootfs.root, *clones):
        directory.mkdir(mode=0o755, exist_ok=True)


def write_etc_files(
    home: Path, *, hostname: str, address: str, owner: int, is_host_network: bool, extras: Extras
) -> tuple[tuple[Path, str], ...]:
    """Write hosts, hostname and resolv.conf; return what to bind where. The container's root may edit them.

    In the host's network the host's names and its resolver on loopback are right as they are.
    """
    resolvers, names = _read(Path("/etc/resolv.conf")), hosts_file(hostname, address)
    if is_host_network:
        names = _read(Path("/etc/hosts")) + f"127.0.1.1\t{hostname}\n"
    else:
        resolvers = resolv_conf(resolvers, _read(_UPSTREAM_RESOLV_CONF))
    names += "".join(f"{to}\t{name}\n" for name, to in extras.hosts)
    resolvers = with_servers(resolvers, extras.name_servers, extras.search_domains)
    contents = {"hosts": names, "hostname": f"{hostname}\n", "resolv.conf": resolvers}
    bound = []
    for name, target in ETC_FILES:
        file = home / name
        file.write_text(contents[name])
        file.chmod(0o644)
        os.chown(file, owner, owner)
        bound.append((file, target))
    return tuple(bound)


def hosts_file(hostname: str, address: str) -> str:
    """Return /etc/hosts of a container. Pure."""
    own = f"{address or '127.0.1.1'}\t{hostname}\n"
    return f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{own}"


def resolv_conf(host: str, upstream: str) -> str:
    """Return /etc/resolv.conf of a container: the host's, but real servers instead of systemd's stub on loopback. Pure."""
    servers = [line.split()[1] for line in host.splitlines() if line.startswith("nameserver") and len(line.split()) > 1]
    if upstream and servers and all(server in _STUB_RESOLVERS for server in servers):
        return upstream
    return host


def with_servers(resolvers: str, servers: Sequence[str], domains: Sequence[str]) -> str:
    """Return a resolv.conf with these name servers and domains to search in place of its own; `.` stands for none. Pure."""
    replaced = {"nameserver"} if servers else set()
    replaced |= {"search", "domain"} if domains else set()
    lines = [line for line in resolvers.splitlines() if not replaced & set(line.split()[:1])]
    if domains and tuple(domains) != (".",):
        lines.append(f"search {' '.join(domains)}")
    lines += [f"nameserver {server}" for server in servers]
    return "".join(f"{line}\n" for line in lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
