"""System calls on mounts, processes and directories that Python 3.11 has no function for. No policy: callers decide.

The numbers of the new calls are the same on every architecture (include/uapi/asm-generic/unistd.h); glibc has wrappers only
since 2.36. Source: mount_setattr(2), open_tree(2), move_mount(2), openat2(2), fspick(2), fsconfig(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_FSCONFIG, _SYS_FSPICK, _SYS_OPENAT2, _SYS_MOUNT_SETATTR = 428, 429, 431, 433, 437, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_SYMLINKS = 0x4, 0x10
_FSPICK_CLOEXEC, _FSCONFIG_SET_FLAG, _FSCONFIG_CMD_RECONFIGURE = 1, 0, 7
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_IDMAP = 1, 0x0010_0000
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_RESOLVE_IN_ROOT = 0x10
_CLONE_FS, _CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x200, 0x2_0000, 0x1000_0000, 0x4000_0000
#: The inodes of the namespaces that the machine starts with. Source: enum init_ns_ino, include/uapi/linux/nsfs.h.
_FIRST_NAMESPACES = {"cgroup": 0xEFFF_FFFB, "pid": 0xEFFF_FFFC}
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 1 << 2


def mount(source: str, target: Path, kind: str, options: str = "") -> None:
    """Mount a filesystem. Raises OSError."""
    _check(
        _LIBC.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(0), options.encode()),
        f"mount {kind} on {target}",
    )


def reconfigure(mounted: Path, options: Sequence[str]) -> None:
    """Give a mounted filesystem these options in place of its own; those of the mount, e.g. nosuid, stay. Raises OSError."""
    context = _check(_LIBC.syscall(_SYS_FSPICK, _AT_FDCWD, os.fsencode(mounted), _FSPICK_CLOEXEC), f"open {mounted}")
    try:
        for option in options:
            _check(
                _LIBC.syscall(_SYS_FSCONFIG, context, _FSCONFIG_SET_FLAG, option.encode(), None, 0), f"{option} of {mounted}"
            )
        _check(_LIBC.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_RECONFIGURE, None, None, 0), f"options of {mounted}")
    finally:
        os.close(context)


def is_outermost() -> bool:
    """Say whether we are in no container: the kernel's first namespaces of processes and control groups are ours."""
    return all(Path("/proc/self/ns", kind).stat().st_ino == inode for kind, inode in _FIRST_NAMESPACES.items())


def open_inotify() -> int:
    """Return a descriptor that tells of what happens in directories; reading it never blocks. Raises OSError."""
    return _check(_LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "watch directories")


def add_watch(inotify: int, directory: Path, events: int) -> int:
    """Watch a directory for these events, inotify(7); return the watch's number, one for each directory. Raises OSError."""
    return _check(_LIBC.inotify_add_watch(inotify, os.fsencode(directory), events), f"watch {directory}")


def bind(source: Path, target: Path) -> None:
    """Make a file or directory appear at a second place. Raises OSError."""
    flags = ctypes.c_ulong(_MS_BIND)
    _check(_LIBC.mount(os.fsencode(source), os.fsencode(target), None, flags, None), f"bind {source} to {target}")


def unmount(target: Path) -> bool:
    """Take a mount, and what is mounted below it, out of the tree, even while in use; say whether there was one."""
    if _LIBC.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOENT):
        return False  # not a mount point, which is what we want
    raise OSError(number, f"unmount {target}: {os.strerror(number)}")


def attach_mapped_clone(
    source: Path, target: Path, user_namespace: int, *, is_read_only: bool = False, is_mapped: bool = True
) -> None:
    """Bind `source` to `target` so that ids on disk appear shifted by the mapping of a user namespace (a descriptor)."""
    moving = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_SYMLINKS  # for a target like /proc/self/fd/7
    tree = _check(
        _LIBC.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC),
        f"clone the mount of {source}",
    )
    try:
        # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
        wanted = (_MOUNT_ATTR_IDMAP if is_mapped else 0) | (_MOUNT_ATTR_RDONLY if is_read_only else 0)
        attributes = struct.pack("=QQQQ", wanted, 0, _MS_PRIVATE, user_namespace if is_mapped else 0)
        _check(
            _LIBC.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, ctypes.c_size_t(len(attributes))),
            f"map the ids of {source}",
        )
        _check(
            _LIBC.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), moving),
            f"attach {source} to {target}",
        )
    finally:
        os.close(tree)


def open_in_root(root: Path, path: str, flags: int = os.O_RDONLY) -> int:
    """Open a path as a process whose root directory is `root` would: links never lead out. Raises OSError."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
        return _check(
            _LIBC.syscall(_SYS_OPENAT2, directory, os.fsencode(path), how, ctypes.c_size_t(len(how))),
            f"open {path} in {root}",
        )
    finally:
        os.close(directory)


def join_mounts(namespace: int) -> None:
    """Move this process for good to a mount namespace (a descriptor), and to its root. Raises OSError."""
    _check(_LIBC.setns(namespace, _CLONE_NEWNS), "enter a mount namespace")


def join_users(namespace: int) -> None:
    """Become root in a user namespace (a descriptor) for good; for processes of one thread only. Raises OSError."""
    _check(_LIBC.setns(namespace, _CLONE_NEWUSER), "enter a user namespace")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def leave_mounts() -> None:
    """Give this process mounts of its own: what it mounts from here on nobody else sees. Raises OSError."""
    _check(_LIBC.unshare(_CLONE_NEWNS), "get mounts of its own")
    private = ctypes.c_ulong(_MS_REC | _MS_PRIVATE)
    _check(_LIBC.mount(None, b"/", None, private, None), "make mounts private")


def call_in_network(namespace: int, work: Callable[[], None]) -> None:
    """Call `work` in a network namespace (a descriptor); the calling thread stays where it is."""

    def enter() -> None:
        _check(_LIBC.setns(namespace, _CLONE_NEWNET), "enter a network namespace")
        work()

    _call_apart(enter)


def call_as_owner(owner: int, directory: Path, work: Callable[[], None]) -> None:
    """Call `work` in a directory, as uid and gid `owner` towards files, keeping all capabilities; the caller stays as it is."""

    def change() -> None:
        _check(_LIBC.unshare(_CLONE_FS), "get a working directory of its own")
        os.chdir(directory)
        _check(_LIBC.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "keep capabilities")
        _LIBC.setfsgid(owner)
        _LIBC.setfsuid(owner)
        work()

    _call_apart(change)


def _call_apart(work: Callable[[], None]) -> None:
    """Call `work` in a thread that ends with it: namespaces, working directory and ids are a thread's own in Linux."""
    failure: list[BaseException] = []

    def call() -> None:
        try:
            work()
        except BaseException as exc:  # carried over to the caller
            failure.append(exc)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
