"""Work on a container's files as the container sees them: in a child that has its root, its mounts and its rights.

The child joins the mount namespace of a running container, or makes one of a stopped container's root and volumes, and then the
tenant's user namespace. So no link and no name leads to this machine's files, and what it may do to them ends there, too.
It must import nothing: what it would find is the container's.

Source: setns(2), mount_namespaces(7), user_namespaces(7); CVE-2019-14271 for what happens else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from paas.engines.embedded.ground import Ground
from paas.engines.embedded.making import locked, mount_layers
from paas.engines.embedded.mountpoints import missing_mountpoints
from paas.engines.embedded.record import Record, container_from
from paas.engines.embedded.volumes import is_volume, volume_directory
from paas.errors import HostProblem, InvalidInput, PaasError
from paas.host import kernel
from paas.model.container import Mount

_Enter = Callable[[], None]


def call_inside(ground: Ground, record: Record, work: Callable[[], Any]) -> Any:
    """Return what `work` returns (JSON) in the container. Raises InvalidInput, HostProblem."""
    with working_inside(ground, record, work) as answer:
        return answer()


@contextlib.contextmanager
def working_inside(
    ground: Ground, record: Record, work: Callable[[], Any], *, closes: Iterable[int] = ()
) -> Iterator[Callable[[], Any]]:
    """Begin `work` in a child and give what waits for its answer; it is killed when the block ends without asking.

    `closes` are descriptors that the child must not hold, because it waits for their end. What went wrong in the child is
    raised in place of the broken pipe that the caller may have got from it.
    """
    with _entrance(ground, record) as enter:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            _answer(enter, work, writing, (*closes, reading))
    os.close(writing)
    said: list[bytes] = []

    def answer() -> Any:
        with open(reading, "rb", closefd=False) as stream:
            said.append(stream.read())
        return _result(said[0])

    try:
        yield answer
    except (BrokenPipeError, InvalidInput):
        if not said:
            answer()
        raise
    finally:
        if not said:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)


@contextlib.contextmanager
def _entrance(ground: Ground, record: Record) -> Iterator[_Enter]:
    """Give what takes the calling process into the container for good.

    A stopped container stays locked as long as a child is in there: it inherits the lock.
    """
    home = ground.home(record.id)
    ground.tenancy.ensure(record.tenant, with_network=False)
    with contextlib.ExitStack() as stack:
        user = stack.enter_context(_opened(ground.tenancy.directory / str(record.tenant.number)))
        if not container_from(home, record).is_running:
            stack.enter_context(locked(home))
        container = container_from(home, record)
        if container.is_running:
            mounts = stack.enter_context(_opened(Path(f"/proc/{container.pid}/ns/mnt")))
            yield lambda: _join(mounts, user)
        else:
            yield _stand_in(ground, record, user)


def _stand_in(ground: Ground, record: Record, user: int) -> _Enter:
    """Mount the root of a stopped container if a reboot took it, and make the places of its volumes."""
    root = ground.rootfs(record.id)
    if not root.is_mounted:
        mount_layers(ground, ground.home(record.id), record.layers, record.tenant.number)
    volumes = [(_source(ground, record, mount), mount) for mount in record.mounts if mount.source or is_volume(mount)]
    missing = missing_mountpoints(root.root, [mount.target for source, mount in volumes if source.is_dir()])
    if missing:
        _make_directories(lambda: _stand_alone(root.root, (), user), missing)
    return lambda: _stand_alone(root.root, volumes, user)


def _join(mounts: int, user: int) -> None:
    """See what a running container sees: the root of its mount namespace is its root."""
    kernel.join_mounts(mounts)
    kernel.join_users(user)


def _stand_alone(root: Path, volumes: Iterable[tuple[Path, Mount]], user: int) -> None:
    """See what a stopped container would see, without the file systems that the kernel makes for it."""
    kernel.leave_mounts()
    for source, mount in volumes:
        with contextlib.suppress(FileNotFoundError):  # a file's place, which the runtime makes
            target = kernel.open_in_root(root, mount.target, os.O_PATH)
            kernel.attach_mapped_clone(
                source, Path(f"/proc/self/fd/{target}"), user, is_read_only=mount.is_read_only, is_mapped=mount.is_mapped
            )
    os.chroot(root)
    os.chdir("/")
    kernel.join_users(user)


def _make_directories(enter: _Enter, paths: Iterable[str]) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            enter()
            for path in paths:  # the outer ones come first
                Path(path).mkdir(mode=0o755)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1] != 0:
        raise HostProblem(f"Could not make {', '.join(paths)} in the container", remedy="start it once: paas container:start")


def _answer(enter: _Enter, work: Callable[[], Any], writing: int, closes: Iterable[int]) -> NoReturn:
    """Do the work in the container, write what it returns or why it failed, and end."""
    try:
        for descriptor in closes:
            os.close(descriptor)
        try:
            enter()
            said = {"answer": work()}
        except BrokenPipeError:
            said = {"answer": None}  # the caller wants no more of it, and knows why
        except OSError as exc:
            said = {"host": f"{exc.strerror or exc}{f': {exc.filename}' if exc.filename else ''}"}
        except PaasError as exc:
            said = {"input": str(exc), "remedy": exc.remedy}
        with open(writing, "wb", closefd=False) as stream:
            stream.write(json.dumps(said).encode())
    finally:
        os._exit(0)


def _result(said: bytes) -> Any:
    if not said:
        raise HostProblem("The process that looked into the container was killed", remedy="try again; run: paas doctor")
    found = json.loads(said)
    if "host" in found:
        raise HostProblem(f"The container's files: {found['host']}", remedy="look at the path, and at what is mounted there")
    if "input" in found:
        raise InvalidInput(found["input"], remedy=found["remedy"])
    return found["answer"]


def _source(ground: Ground, record: Record, mount: Mount) -> Path:
    return mount.source or volume_directory(ground, record.id, mount)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
