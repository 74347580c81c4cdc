"""A program as a sealed file in memory, which nobody can change: not even who reaches it through /proc of what it runs as.

Source: memfd_create(2), fcntl(2) "File Sealing".
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
#: Since Linux 6.3: executable whatever vm.memfd_noexec makes the default. Source: include/uapi/linux/memfd.h.
_MFD_EXEC = 0x10
_MOST_AT_ONCE = 0x7FFF_F000  # what one sendfile(2) transfers


@contextlib.contextmanager
def sealed_copy(program: Path) -> Iterator[Path]:
    """Give the path of a copy that our children may execute until this is left; the program's own where none can be made."""
    try:
        copy = _copy(program)
    except OSError:  # memory files are not to be executed here, or there is no memory
        yield program
        return
    try:
        yield Path(f"/proc/{os.getpid()}/fd/{copy}")
    finally:
        os.close(copy)


def _copy(program: Path) -> int:
    """Return a descriptor of the sealed copy. Raises OSError."""
    with program.open("rb") as original:
        copy = _memory_file(program.name)
        try:
            while os.sendfile(copy, original.fileno(), None, _MOST_AT_ONCE):
                pass
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(copy)
            raise
    return copy


def _memory_file(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_EXEC)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)  # an older kernel, where all are executable
