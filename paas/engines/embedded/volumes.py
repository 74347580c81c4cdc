"""Volumes: directories with the ids that the container sees, kept by name or for the life of one container.

    <volumes>/<name>/data          a named volume; without `data` it is new
    <container>/volumes/<key>      an anonymous one: it goes with its container
A new volume begins with what the image has at its place: content, owner, mode. Source: Dockerfile reference, VOLUME.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from paas.engines.embedded.ground import Ground
from paas.errors import Conflict, InvalidInput, NotFound
from paas.host import kernel
from paas.host.files import disk_problem, remove_tree
from paas.host.run import run
from paas.model.container import Mount, Tenant

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}\Z")


def is_volume(mount: Mount) -> bool:
    """Say whether the engine keeps what is mounted."""
    return bool(mount.volume) or mount.is_anonymous


def image_volumes(declared: Iterable[str], mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Return an anonymous volume for each VOLUME of an image that no mount covers. Pure."""
    taken = {PurePosixPath("/", mount.target) for mount in mounts}
    targets = dict.fromkeys(PurePosixPath("/", path) for path in declared if path.strip("/"))
    return tuple(Mount(target=str(target), is_anonymous=True) for target in targets if target not in taken)


def volume_directory(ground: Ground, container: str, mount: Mount) -> Path:
    """Return where a volume's content is on this machine."""
    if mount.volume:
        return ground.paths.volumes / mount.volume / "data"
    key = hashlib.sha256(mount.target.encode()).hexdigest()[:16]
    return ground.home(container) / "volumes" / key


def fill_volumes(ground: Ground, home: Path, mounts: Iterable[Mount], tenant: Tenant) -> None:
    """Make the volumes that are missing or new, with what the mounted root has at their places. Raises InvalidInput."""
    for mount in filter(is_volume, mounts):
        directory = volume_directory(ground, home.name, mount)
        if directory.exists():
            continue
        try:
            if mount.volume:
                _ensure_named(ground, mount.volume)
            fresh = home / "volumes" / "new"
            fresh.mkdir(parents=True)
            if mount.is_copied:
                _copy_from_image(ground, home, mount.target, fresh, tenant)
            with contextlib.suppress(FileExistsError, OSError) if mount.volume else contextlib.nullcontext():
                fresh.rename(directory)  # of two that fill a named volume at once one wins
            remove_tree(fresh)
        except OSError as exc:
            raise disk_problem(exc, directory) from exc


def create_volume(ground: Ground, name: str) -> None:
    """Make a named volume. Raises Conflict, InvalidInput."""
    check_name(name)
    if (ground.paths.volumes / name).exists():
        raise Conflict(f"There is a volume '{name}' already", remedy="list them with: paas container:volumes")
    _ensure_named(ground, name)


def volume_names(ground: Ground) -> tuple[str, ...]:
    """Return the names of all named volumes."""
    with contextlib.suppress(FileNotFoundError):
        return tuple(sorted(path.name for path in ground.paths.volumes.iterdir() if not path.name.startswith(".")))
    return ()


def remove_volume(ground: Ground, name: str, users: Sequence[str]) -> None:
    """Remove a named volume that no container uses. Raises NotFound, Conflict."""
    check_name(name)
    path = ground.paths.volumes / name
    if not path.exists():
        raise NotFound(f"There is no volume '{name}'", remedy="list them with: paas container:volumes")
    if users:
        raise Conflict(f"The volume '{name}' is used by container {users[0]}", remedy=f"paas container:rm {users[0]}")
    grave = path.with_name(f".removed-{name}-{os.urandom(4).hex()}")
    path.rename(grave)
    remove_tree(grave)


def check_name(name: str) -> None:
    """Raise InvalidInput for what can not be the name of a volume."""
    if not _NAME.match(name):
        raise InvalidInput(f"'{name}' is not a name for a volume", remedy="use letters, digits, '_', '.' and '-'")


def _ensure_named(ground: Ground, name: str) -> None:
    check_name(name)
    (ground.paths.volumes / name).mkdir(mode=0o700, parents=True, exist_ok=True)


def _copy_from_image(ground: Ground, home: Path, target: str, fresh: Path, tenant: Tenant) -> None:
    """Give a new volume owner, mode and content of the directory that it will cover; nothing if the image has none."""
    rootfs, base = ground.rootfs(home.name), ground.tenancy.uid_base(tenant)
    try:
        source = kernel.open_in_root(rootfs.root, target, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        fresh.chmod(0o755)
        return
    except OSError as exc:
        raise InvalidInput(f"{target} is no directory in the image: {exc.strerror}", remedy="mount the volume elsewhere") from exc
    try:
        found = os.fstat(source)
        os.chown(fresh, found.st_uid - base, found.st_gid - base)
        fresh.chmod(stat.S_IMODE(found.st_mode))
        with os.scandir(source) as entries:
            is_empty = next(entries, None) is None
        if not is_empty:
            _copy_as_tenant(rootfs.scene / "own", home, fresh, source, ground.tenancy.user_namespace(tenant))
    finally:
        os.close(source)


def _copy_as_tenant(clone: Path, home: Path, fresh: Path, source: int, user_namespace: Path) -> None:
    """Copy with the powers of the tenant's root only, through a mount of the container's directory that maps its ids."""
    clone.mkdir(mode=0o755, exist_ok=True)
    with open(user_namespace, "rb") as namespace:
        kernel.attach_mapped_clone(home, clone, namespace.fileno())
        target = -1
        try:
            target = os.open(clone / fresh.relative_to(home), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            run(
                ["nsenter", f"--user=/proc/self/fd/{namespace.fileno()}", "--setuid", "0", "--setgid", "0", "--",
                 "cp", "-a", "--reflink=auto", f"/proc/self/fd/{source}/.", f"/proc/self/fd/{target}/"],
                pass_fds=(namespace.fileno(), source, target),
            )  # fmt: skip
        finally:
            if target >= 0:
                os.close(target)
            kernel.unmount(clone)
            clone.rmdir()
