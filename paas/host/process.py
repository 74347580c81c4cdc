"""What a process does to itself: its name, its privileges, its end. Linux prctl(2); not the running of tools (run.py)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from paas.errors import HostProblem

_LIBC = ctypes.CDLL(None, use_errno=True)
_LAST_STANDARD, _NO_DESCRIPTOR = 2, 1 << 20
# <linux/prctl.h>
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 4, 15, 38


def rename_process(name: str) -> None:
    """Set the name that ps and top show; at most 15 characters."""
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def end_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the process `parent`, which made us, ends. Forgotten when the user changes."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)  # it ended before we asked


def become(user: str) -> None:
    """Give up root for good and become this user, who can never gain a privilege again. Raises HostProblem."""
    if os.geteuid() != 0:
        return
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise HostProblem(f"There is no user '{user}' on this machine", remedy="run: vagrant/provision.sh") from None
    os.setgroups([])
    os.setresgid(found.pw_gid, found.pw_gid, found.pw_gid)
    os.setresuid(found.pw_uid, found.pw_uid, found.pw_uid)
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Other processes of this user, e.g. git on what a stranger pushed, must not look into this one.
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Finish what is inside whoever asks us to end meanwhile; a request that comes here has come too late and is dropped.

    Handlers, not a signal mask: a mask would hold for one thread only, and the kernel would pick another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda _number, _frame: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def take_service_manager() -> Callable[[str], None]:
    """Return how to tell systemd, if it started us, e.g. READY=1 (sd_notify(3)).

    Its address is taken out of the environment: crun would take it for the container's.
    """
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]

    def notify(state: str) -> None:
        if not address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            try:
                notifier.connect(address)
                notifier.sendall(state.encode())
            except OSError:
                pass  # a service manager that does not listen loses nothing of ours

    return notify


def close_descriptors(*, keep: Sequence[int]) -> None:
    """Close all but stdin, stdout, stderr and these."""
    edges = [*sorted(d for d in keep if d > _LAST_STANDARD), _NO_DESCRIPTOR]
    first = _LAST_STANDARD + 1
    for edge in edges:
        os.closerange(first, edge)
        first = edge + 1


def wait_for_end(pid: int, number: int, *, timeout_s: float, is_meant: Callable[[], bool] = lambda: True) -> bool:
    """Signal a process that need not be our child and wait; say whether it has ended.

    `is_meant` is asked once the process is held fast: if it says no, the number belongs to another one by now.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not is_meant():
            return True
        signal.pidfd_send_signal(pidfd, number)
        return bool(select.select([pidfd], [], [], timeout_s)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(pidfd)


def answers(path: Path) -> bool:
    """Say whether the process that made a unix socket listens on it: others may have inherited it and live on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) != 0:
            return False
        pid, _uid, _gid = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return Path(f"/proc/{pid}").exists()
