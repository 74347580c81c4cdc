"""Containers that live as long as a call: one-off tasks and build steps. They never outlive their caller on purpose.

The caller holds the container's lock for the whole time; `repair` removes such a container once nobody holds it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from paas.engines import BuildStep, CommittedRun, Stdio, StepResult
from paas.engines.embedded.ground import Ground
from paas.engines.embedded.making import finish, make, making, with_command
from paas.engines.embedded.mountpoints import missing_mountpoints, remove_mountpoints
from paas.engines.embedded.record import Record, read_processes
from paas.engines.embedded.rootfs import unmount_rootfs
from paas.engines.embedded.running import (
    container_of,
    launch,
    launch_attached,
    signal_init,
    stream_until_exit,
    take_away,
    wait_for_exit,
)  # fmt: skip
from paas.engines.embedded.signals import passed_on
from paas.engines.embedded.spec import FIXED_TARGETS
from paas.engines.embedded.streams import passable
from paas.engines.embedded.usage import has_hit_pids_limit
from paas.errors import Cancelled, CommandFailed
from paas.model.container import ContainerSpec
from paas.oci.manifest import ImageConfig

_STOP_WAIT_S = 10.0
_MAX_LINE_BYTES = 64 * 1024


def run_foreground(
    ground: Ground, spec: ContainerSpec, stdio: Stdio, timeout_s: float, *, passes_signals: bool = False
) -> int:
    """Make, run attached, remove; return the exit code. Raises CommandFailed when the time is over."""
    image = ground.images.image(spec.image)
    spec = with_command(spec, image.config)
    with making(ground) as home:
        record = finish(home, make(ground, home, spec, image.layers, image.config, image.id), is_ephemeral=True)
        try:
            return _run(ground, record, stdio, timeout_s, passes_signals=passes_signals)
        finally:
            take_away(ground, record)


def run_and_commit(ground: Ground, spec: ContainerSpec, stdio: Stdio, timeout_s: float) -> CommittedRun:
    """Make, run, keep what a good run changed as one more layer, remove. Raises CommandFailed when the time is over."""
    image = ground.images.image(spec.image)
    with making(ground) as home:
        record = finish(home, make(ground, home, spec, image.layers, image.config, image.id), is_ephemeral=True)
        try:
            rootfs = ground.rootfs(home.name)
            missing = missing_mountpoints(rootfs.root, (*FIXED_TARGETS, *(mount.target for mount in spec.mounts)))
            exit_code = _run(ground, record, stdio, timeout_s)
            ground.crun.delete(record.id)
            unmount_rootfs(rootfs)
            remove_mountpoints(rootfs.upper, missing)
            if exit_code != 0 or not any(rootfs.upper.iterdir()):
                return CommittedRun(exit_code=exit_code, image=image.id)
            layer = ground.images.adopt_layer(rootfs.upper)
            return CommittedRun(exit_code=0, image=ground.images.create_image(image.config, [*image.layers, layer]).id)
        finally:
            take_away(ground, record)


@contextlib.contextmanager
def run_build_step(
    ground: Ground, step: BuildStep, on_line: Callable[[str], None] | None, stdio: Stdio | None, timeout_s: float,
    stop: int = -1,
) -> Iterator[StepResult]:  # fmt: skip
    """Run a build step; its changes are there until the context is left. Raises CommandFailed when the time is over,
    Cancelled once `stop` is readable."""
    spec = ContainerSpec(
        image="", argv=step.argv, tenant=step.tenant, env=step.env, workdir=step.workdir, user=step.user,
        mounts=step.mounts, network=step.network, limits=step.limits, has_init=True,
    )  # fmt: skip
    with making(ground) as home:
        record = finish(home, make(ground, home, spec, step.layers, ImageConfig(), ""), is_ephemeral=True)
        try:
            rootfs = ground.rootfs(home.name)
            missing = missing_mountpoints(rootfs.root, (*FIXED_TARGETS, *(mount.target for mount in step.mounts)))
            with _output(on_line, stdio) as streams:
                exit_code = _run(ground, record, streams, timeout_s, stop)
            is_oom_killed, is_crowded = container_of(ground, record).is_oom_killed, has_hit_pids_limit(ground, record)
            ground.crun.delete(record.id)
            unmount_rootfs(rootfs)
            remove_mountpoints(rootfs.upper, missing)
            yield StepResult(
                exit_code=exit_code, changes=rootfs.upper, is_oom_killed=is_oom_killed, has_hit_pids_limit=is_crowded
            )
        finally:
            take_away(ground, record)


def _run(
    ground: Ground, record: Record, stdio: Stdio, timeout_s: float, stop: int = -1, *, passes_signals: bool = False
) -> int:
    home = ground.home(record.id)
    passing = passed_on(home) if passes_signals else contextlib.nullcontext()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_cancelled_by_signals())
        try:
            if record.has_terminal:
                connection = launch_attached(ground, record, stack, stdio)
                with passing:
                    return stream_until_exit(ground, record, connection, stdio)
            launch(ground, record, stdio=stack.enter_context(passable(stdio)))
            with passing:
                code = wait_for_exit(home, timeout_s or None, stop=stop)
        except (KeyboardInterrupt, Cancelled):
            if read_processes(home) is not None:
                _end(home, record.stop_signal, min(record.stop_timeout_s, _STOP_WAIT_S))
            raise
        if code is None:
            _end(home, signal.SIGKILL, _STOP_WAIT_S)
            raise CommandFailed(record.argv, -signal.SIGKILL, [f"no end after {timeout_s:g} s"])
        return code


def _end(home: Path, number: int, wait_s: float) -> None:
    """Signal the init and wait; kill it if it stays. Whoever reads its streams reads until it is gone."""
    if signal_init(home, number) and wait_for_exit(home, wait_s) is None:
        signal_init(home, signal.SIGKILL)
        wait_for_exit(home, _STOP_WAIT_S)


@contextlib.contextmanager
def _output(on_line: Callable[[str], None] | None, stdio: Stdio | None) -> Iterator[Stdio]:
    """Give a step its descriptors: `stdio`, or an empty stdin and a pipe whose lines go to `on_line`."""
    with contextlib.ExitStack() as stack:
        if on_line is None and stdio is not None:
            yield stdio
            return
        empty = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, empty)
        stdin = stdio.stdin if stdio is not None else empty
        if on_line is None:
            yield Stdio(stdin=stdin, stdout=1, stderr=2)
            return
        reading, writing = os.pipe2(os.O_CLOEXEC)
        reader = threading.Thread(target=_read_lines, args=(reading, on_line), daemon=True)
        reader.start()
        try:
            yield Stdio(stdin=stdin, stdout=writing, stderr=writing)
        finally:
            os.close(writing)
            reader.join()


def _read_lines(descriptor: int, on_line: Callable[[str], None]) -> None:
    with open(descriptor, "rb") as stream:
        while raw := stream.readline(_MAX_LINE_BYTES):  # a line without end is not kept in memory
            on_line(raw.decode(errors="replace").rstrip("\r\n"))


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into Cancelled, so that the container goes with us; left alone if somebody handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(number: int, _frame: FrameType | None) -> None:
        raise Cancelled(f"Stopped by {signal.Signals(number).name}")

    changed = {n: signal.signal(n, cancel) for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, before in changed.items():
            signal.signal(number, before)

