"""Pushes that wait for an app's turn stand in a line: the first that came is the first served, or the newest alone is.

Each holds a ticket: a file that it keeps locked, so the kernel tells who is still there. Tickets are given out one at a time,
and whoever gets one sends those away whose place it takes, with a signal, as they are asleep in flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from paas.context import Context
from paas.deploy.queue import release_turn, say_waiting
from paas.deploy.record import deploy_log, failure_lines
from paas.errors import Conflict, PaasError
from paas.host.files import LockHolder, flock, held_by, lock_holder

#: `builds:set queue`: newest (of several that wait only the newest is deployed) or all.
QUEUE_PROPERTY, NEWEST, ALL = "builds.queue", "newest", "all"
_DOOR = "door.lock"


class Overtaken(Exception):
    """A newer push has taken this one's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A place in the line. `earlier` are the tickets in front, oldest first."""

    file: Path
    descriptor: int
    earlier: tuple[Path, ...]


def newest_wins(ctx: Context, app: str) -> bool:
    """Say whether a push sends those away that wait already."""
    return ctx.state.properties.merged(app).get(QUEUE_PROPERTY, NEWEST) != ALL


def waiting(ctx: Context, app: str) -> tuple[LockHolder, ...]:
    """Return the pushes that stand in line, oldest first; the one that is being deployed is none of them."""
    folder = ctx.paths.app_queue(app)
    said = (held_by(file) for file in _tickets(folder) if not _is_called(file))
    return tuple(holder for holder in said if holder is not None)


@contextlib.contextmanager
def push_turn(ctx: Context, app: str, what: str, *, revision: str, newest_wins: bool) -> Iterator[None]:
    """Stand in line, then hold the app's turn. Raises Conflict when a newer push takes this one's place meanwhile."""
    since = ctx.now()
    who = f"{what} by {ctx.identity.name}"
    folder = ctx.paths.app_queue(app)
    ticket: Ticket | None = None
    with contextlib.ExitStack() as stack:
        try:
            with ctx.output.timed("queue"), _sent_away_by_signal():
                ticket = stack.enter_context(_ticket(folder, who, newest_wins=newest_wins))
                _wait_for_earlier(ctx, app, ticket)
                stack.enter_context(release_turn(ctx, app, what))
                _come_forward(folder, ticket)
        except Overtaken:
            by = _overtaker(ticket)
            error = Conflict(
                f"Superseded: {by} came while this push waited, and takes its place",
                remedy=f"push again if yours is the newer one; to have every push deployed: paas builds:set {app} queue all",
            )
            with contextlib.suppress(PaasError):
                _note_superseded(ctx, app, what, revision, by=by, since=since, error=error)
            raise error from None
        yield


def _note_superseded(
    ctx: Context, app: str, what: str, revision: str, *, by: str, since: float, error: Conflict
) -> None:
    with ctx.state.transaction():
        build = ctx.state.builds.note_superseded(
            app, ctx.identity.name, what, revision, by=by, since=since, now=ctx.now()
        )
        ctx.state.events.record(app, ctx.identity.name, what, f"superseded by {by}", ctx.now())
    with deploy_log(ctx.output, ctx.paths.build_log(build.id)) as log:
        for line in failure_lines(error):
            log(line)


def _overtaker(ticket: Ticket | None) -> str:
    said = json.loads(ticket.file.read_text()) if ticket is not None else {}
    return str(said.get("overtaken_by", "a newer push"))


@contextlib.contextmanager
def _ticket(folder: Path, who: str, *, newest_wins: bool) -> Iterator[Ticket]:
    """Take the next ticket and keep it locked while this lasts."""
    with flock(folder / _DOOR, what=who):
        earlier = _present(folder)
        number = max((int(file.name) for file in earlier), default=0) + 1
        file = folder / str(number)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write(descriptor, {"what": who, "since": time.time(), "pid": os.getpid()})
        if newest_wins:
            for other in earlier:
                _send_away(other, by=who)
    try:
        yield Ticket(file=file, descriptor=descriptor, earlier=earlier)
    finally:
        os.close(descriptor)


def _wait_for_earlier(ctx: Context, app: str, ticket: Ticket) -> None:
    has_said = False
    for file in ticket.earlier:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # it went, and somebody cleaned up behind it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if not has_said:
                say_waiting(ctx, app, lock_holder(file))
                has_said = True
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _come_forward(folder: Path, ticket: Ticket) -> None:
    """Be the one that is served: from here on nobody takes this one's place. Raises Overtaken."""
    with flock(folder / _DOOR, what="queue"):
        said = json.loads(ticket.file.read_text())
        if "overtaken_by" in said:
            raise Overtaken
        _write(ticket.descriptor, {**said, "is_called": True})


def _send_away(file: Path, *, by: str) -> None:
    """Take the place of a push that waits; one that is being deployed stays. The caller holds the door."""
    said = json.loads(file.read_text())
    if said.get("is_called") or "overtaken_by" in said:
        return
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        pidfd = os.pidfd_open(said["pid"])
        try:
            if held_by(file) is not None:  # it is still there, so the number is still its own
                _write(descriptor, {**said, "overtaken_by": by})
                signal.pidfd_send_signal(pidfd, signal.SIGUSR1)
        finally:
            os.close(pidfd)
    except ProcessLookupError:
        pass  # it has gone by itself
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _sent_away_by_signal() -> Iterator[None]:
    """Raise Overtaken where this process waits when SIGUSR1 comes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone; `_come_forward` sees the same
        return

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise Overtaken

    before = signal.signal(signal.SIGUSR1, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _present(folder: Path) -> tuple[Path, ...]:
    """Return the tickets whose holders are there, oldest first, and remove the others. The caller holds the door."""
    found = []
    for file in _tickets(folder):
        if held_by(file) is not None:
            found.append(file)
        else:
            file.unlink(missing_ok=True)
    return tuple(found)


def _tickets(folder: Path) -> tuple[Path, ...]:
    files = [file for file in folder.iterdir() if file.name.isdecimal()] if folder.is_dir() else []
    return tuple(sorted(files, key=lambda file: int(file.name)))


def _is_called(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text()).get("is_called"))
    except (OSError, ValueError):
        return False


def _write(descriptor: int, said: dict[str, object]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(said).encode(), 0)
