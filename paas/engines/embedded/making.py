"""Making a container that does not run yet: claims, rootfs, account, files, config.json, record. In that order.

Whoever makes or changes a container holds the lock of its directory; `repair` takes away what nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from paas.engines.embedded import cgroups
from paas.engines.embedded.accounts import Account, account_for
from paas.engines.embedded.claims import Claims
from paas.engines.embedded.ground import Ground, app_key
from paas.engines.embedded.publishing import assign_ports
from paas.engines.embedded.record import Record, write_record
from paas.engines.embedded.rootfs import mount_rootfs, unmount_rootfs, write_etc_files
from paas.engines.embedded.spec import Command, Surroundings, runtime_config
from paas.engines.embedded.volumes import fill_volumes, image_volumes, is_volume, volume_directory
from paas.errors import Conflict, HostProblem, InvalidInput, NotFound
from paas.host import kernel
from paas.host.files import disk_problem, remove_tree
from paas.model.container import LABEL_APP, ContainerSpec, NetworkMode, signal_number
from paas.model.health import HealthCheck, effective_check
from paas.network.ipam import addresses
from paas.oci.manifest import ImageConfig

ID_BYTES = 6
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_MAX_PASSWD_BYTES = 4 << 20


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold a container's directory against others who would change it. Raises NotFound when it goes away meanwhile."""
    try:
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"There is no container '{home.name}'", remedy="list them with: paas container:ps") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not home.exists():
            raise NotFound(f"There is no container '{home.name}'", remedy="list them with: paas container:ps")
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def making(ground: Ground) -> Iterator[Path]:
    """Give the locked directory of a new container; an exception takes all of it away."""
    cgroups.expect_moves(ground.hierarchies)
    home = ground.home(secrets.token_hex(ID_BYTES))
    home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        home.mkdir(mode=0o700)
    except OSError as exc:
        raise disk_problem(exc, home) from exc
    with locked(home):
        try:
            yield home
        except BaseException:
            discard(ground, home)
            raise


def discard(ground: Ground, home: Path) -> None:
    """Take away a container's directory and mounts. The directory goes by one rename, so that none is seen half empty."""
    unmount_rootfs(ground.rootfs(home.name))
    grave = home.with_name(f".removed-{home.name}")
    with contextlib.suppress(FileNotFoundError):
        home.rename(grave)
    remove_tree(grave)


def with_command(spec: ContainerSpec, config: ImageConfig) -> ContainerSpec:
    """Return the container with the image's command if it has none of its own. Raises InvalidInput when there is none."""
    argv = spec.argv or (*config.entrypoint, *config.cmd)
    if not argv:
        raise InvalidInput(f"The image {spec.image} names no command", remedy="give one")
    return replace(spec, argv=argv)


def make(ground: Ground, home: Path, spec: ContainerSpec, layers: Sequence[str], config: ImageConfig, image: str) -> Record:
    """Make the container of `spec` on these layers in `home`. Raises NotFound, Conflict, InvalidInput, HostProblem."""
    ground.tenancy.ensure(spec.tenant, with_network=spec.network is NetworkMode.TENANT)
    if spec.name:
        take_name(ground, spec.name, home.name)
    if LABEL_APP in spec.labels:
        _claims(ground, "apps").take(app_key(spec.labels[LABEL_APP], home.name), home.name)
    mount_layers(ground, home, layers, spec.tenant.number)
    account = read_account(ground.rootfs(home.name).root, spec.user or config.user, spec.extras.groups)
    mounts = (*spec.mounts, *image_volumes(config.volumes, spec.mounts))
    fill_volumes(ground, home, mounts, spec.tenant)
    record = Record(
        id=home.name,
        name=spec.name,
        image=image,
        layers=tuple(layers),
        tenant=spec.tenant,
        argv=tuple(spec.argv),
        env={**dict(config.env), **spec.env},
        uid=account.uid,
        gid=account.gid,
        groups=account.groups,
        home=account.home,
        workdir=spec.workdir or config.workdir or "/",
        hostname=_hostname(spec, home.name),
        address=_take_address(ground, home.name, spec) if spec.network is NetworkMode.TENANT else "",
        network=spec.network,
        ports=assign_ports(ground, spec.ports),
        mounts=mounts,
        limits=spec.limits,
        labels=dict(spec.labels),
        has_terminal=spec.has_terminal,
        keeps_stdin=spec.keeps_stdin,
        has_init=spec.has_init,
        is_read_only=spec.is_read_only,
        stop_signal=signal_number(spec.stop_signal or config.stop_signal or "SIGTERM"),
        stop_timeout_s=spec.stop_timeout_s,
        log_path=spec.log_path or home / "log",
        log_max_bytes=spec.log_max_bytes,
        created_at=time.time(),
        user=spec.user or config.user,
        exposed_ports=config.exposed_ports,
        health=effective_check(spec.health, image_check(config)),
        restart=spec.restart,
        is_removed_at_end=spec.is_removed_at_end,
        extras=spec.extras,
    )
    _write_config(ground, home, record)
    return record


def finish(home: Path, record: Record, *, is_ephemeral: bool = False) -> Record:
    """Write the record: the container exists from here on."""
    record = replace(record, is_ephemeral=is_ephemeral)
    write_record(home, record)
    return record


def mount_layers(ground: Ground, home: Path, layers: Sequence[str], tenant: int) -> None:
    """Mount the container's root from these layers of the store."""
    mount_rootfs(
        ground.rootfs(home.name),
        ground.paths.images,
        [ground.images.layer_link(layer) for layer in layers],
        user_namespace=ground.tenancy.directory / str(tenant),
        owner=ground.tenancy.uid_base_of(tenant),
    )


def take_name(ground: Ground, name: str, container: str) -> None:
    """Let a container alone have a name. Raises Conflict, InvalidInput."""
    if not _NAME.match(name):
        raise InvalidInput(f"'{name}' is not a name for a container", remedy="use letters, digits, '_', '.' and '-'")
    claims = _claims(ground, "names")
    if not claims.take(name, container):
        raise Conflict(f"The name '{name}' is in use by container {claims.holder(name)}", remedy=f"paas container:rm {name}")


def give_name_back(ground: Ground, record: Record) -> None:
    """Let others have the name that a container was made with."""
    if record.name:
        _claims(ground, "names").release(record.name, record.id)


def release_claims(ground: Ground, record: Record) -> None:
    """Give back a container's name and address, before its directory goes: until then nobody else takes them."""
    give_name_back(ground, record)
    if record.address:
        _claims(ground, "addresses").release(record.address, record.id)


def leave_app(ground: Ground, record: Record) -> None:
    """Take a container off its app's list, after its directory is gone: until then it must be found there."""
    if LABEL_APP in record.labels:
        _claims(ground, "apps").release(app_key(record.labels[LABEL_APP], record.id), record.id)


def drop_stale_claims(ground: Ground) -> None:
    """Remove claims whose container is gone."""
    for kind in ("names", "addresses", "apps"):
        _claims(ground, kind).drop_stale()


def read_account(root: Path, user: str, more_groups: Sequence[str] = ()) -> Account:
    """Resolve a user and more groups for him in the passwd and group of a mounted root. Raises InvalidInput."""
    passwd, group = _read_inside(root, "/etc/passwd"), _read_inside(root, "/etc/group")
    return account_for(user, passwd, group, more_groups=more_groups)


def command_of(record: Record) -> Command:
    """Return what runs in the container."""
    account = Account(uid=record.uid, gid=record.gid, groups=record.groups, home=record.home)
    return Command(argv=record.argv, env=record.env, account=account, workdir=record.workdir, has_terminal=record.has_terminal)


def surroundings_of(ground: Ground, record: Record, files: tuple[tuple[Path, str], ...] = ()) -> Surroundings:
    """Return what the machine gives the container."""
    return Surroundings(
        root=ground.rootfs(record.id).root,
        hostname=record.hostname,
        user_namespace=ground.tenancy.user_namespace(record.tenant),
        uid_base=ground.tenancy.uid_base(record.tenant),
        cgroup=ground.cgroup(record.tenant.number, record.id),
        network=record.network,
        files=files,
        mounts=tuple(
            replace(mount, source=volume_directory(ground, record.id, mount)) if is_volume(mount) else mount
            for mount in record.mounts
        ),
        limits=record.limits,
        init=ground.init if record.has_init else None,
        is_read_only=record.is_read_only,
        seccomp=ground.seccomp,
        seccomp_program=ground.seccomp_program(),
        max_open_files=ground.max_open_files,
        extras=replace(record.extras, ulimits=tuple(map(ground.allowed, record.extras.ulimits))),
    )


def image_check(config: ImageConfig) -> HealthCheck | None:
    """Return the image's HEALTHCHECK as a command to run; CMD-SHELL runs in the image's SHELL. Pure."""
    written = config.healthcheck
    if written is None or written.test[0] not in ("CMD", "CMD-SHELL"):
        return None
    argv = written.test[1:] if written.test[0] == "CMD" else (*(config.shell or ("/bin/sh", "-c")), *written.test[1:])
    return HealthCheck(
        argv=argv,
        interval_s=written.interval_s,
        timeout_s=written.timeout_s,
        start_period_s=written.start_period_s,
        start_interval_s=written.start_interval_s,
        retries=written.retries,
    )


def _write_config(ground: Ground, home: Path, record: Record) -> None:
    owner = ground.tenancy.uid_base(record.tenant)
    files = write_etc_files(
        home, hostname=record.hostname, address=record.address, owner=owner,
        is_host_network=record.network is NetworkMode.HOST, extras=record.extras,
    )  # fmt: skip
    config = runtime_config(command_of(record), surroundings_of(ground, record, files))
    try:
        (home / "config.json").write_text(json.dumps(config))
    except OSError as exc:
        raise disk_problem(exc, home) from exc


def _take_address(ground: Ground, container: str, spec: ContainerSpec) -> str:
    claims = _claims(ground, "addresses")
    for address in addresses(ground.tenancy.network(spec.tenant), int(container, 16)):
        if claims.take(address, container):
            return address
    raise HostProblem(
        f"The network of {spec.tenant.name} has no address left", remedy="one app can have 253 containers: scale it down"
    )


def _claims(ground: Ground, kind: str) -> Claims:
    return Claims(directory=ground.claims / kind, exists=lambda container: ground.home(container).is_dir())


def _hostname(spec: ContainerSpec, container: str) -> str:
    return spec.hostname or container


def _read_inside(root: Path, path: str) -> str:
    try:
        descriptor = kernel.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""  # an image may have none
    try:
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(_MAX_PASSWD_BYTES).decode(errors="replace")
    except IsADirectoryError:
        return ""
    finally:
        os.close(descriptor)
