"""Archives as plain streams, whatever they are compressed with: bounded, counted and hashed on the way.

The programs gzip, zstd, xz and bzip2 read them, beside us on another core and with bounded memory. A stream never yields
more than its limit: what a small file unpacks to is not known before.

Source: RFC 1952 (gzip), RFC 8878, 3.1.1 (zstd).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from paas.errors import InvalidInput
from paas.host.run import PIPE, spawn
from paas.oci.digest import Digest

#: Small enough that what was read is still in the processor's cache when it is written.
_CHUNK = 256 << 10
#: What is hashed at once, and how many of these there are: one is filled, one hashed, and one waits.
_BUFFER, _BUFFERS = 2 * _CHUNK, 3
_PIPE_BYTES = 1 << 20
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_PROGRAMS = {
    "gzip": ("gzip", "-dc"),
    "zstd": ("zstd", "-dcq", "--memory=128MB"),
    "xz": ("xz", "-dcq", "--memlimit=128MiB"),
    "bzip2": ("bzip2", "-dcq"),
}
#: gzip's status for garbage behind the end of a file: the content is whole (its own digest says so).
_GZIP_WARNING = 2
#: Room in front of a buffer for the end of the last one, because readers of tars look back by a header.
_KEPT = 1024

#: What an administrator may change when an image is larger than the limits.
MORE_ROOM = "if you trust it, raise image-max-mb or image-max-files in paas.toml"

#: What tarfile may read into memory for one member: long names, attributes, the map of a sparse file.
_MAX_HEADER_BYTES = 2 << 20

#: Reads into a buffer and returns how many bytes, 0 at the end.
_Read = Callable[[memoryview], int]


class PlainStream:
    """A file that is read forward once. As much of a file object as tarfile wants, and `copy_to` for large content."""

    def __init__(self, read: _Read, limit: int) -> None:
        self._read, self._limit = read, limit
        self._hasher = _Hasher()
        self._buffer = self._hasher.next_buffer()
        #: Indexes into the buffer: where we stand, and the end of what has been read; and the position of its first byte.
        self._at = self._end = _KEPT
        self._base = -_KEPT
        self._in_headers = 0

    def begin_member(self) -> None:
        """Allow the next header; see `read`."""
        self._in_headers = 0

    def tell(self) -> int:
        """Return the position in the plain content."""
        return self._base + self._at

    def seek(self, position: int) -> int:
        """Skip forward; backward only as far as the buffer goes."""
        if position < max(self._base, 0):
            raise ValueError("the stream has gone on")
        while position > self._base + self._end and self._fill():
            pass
        self._at = min(position - self._base, self._end)
        return self._base + self._at

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end only. Raises InvalidInput for more than a header since `begin_member`."""
        self._in_headers += size
        if size < 0 or self._in_headers > _MAX_HEADER_BYTES:
            raise InvalidInput(f"The archive has a header of {size if size < 0 else self._in_headers} bytes")
        end = self._at + size
        if end > self._end:
            joined = b""
            while (missing := size - len(joined)) > 0 and (self._at < self._end or self._fill()):
                part = bytes(self._buffer[self._at : min(self._at + missing, self._end)])
                self._at += len(part)
                joined += part
            return joined
        part = bytes(self._buffer[self._at : end])
        self._at = end
        return part

    def copy_to(self, descriptor: int, size: int) -> None:
        """Write the next bytes to a file. Raises EOFError when there are not so many."""
        while size:
            if self._at == self._end and not self._fill():
                raise EOFError("unexpected end of data")
            written = os.write(descriptor, self._buffer[self._at : min(self._at + size, self._end)])
            self._at += written
            size -= written

    def finish(self) -> Digest:
        """Read what is left, and return the digest of all. The stream is of no use afterwards."""
        while self._fill():
            pass
        self._hasher.update(self._buffer, self._end)
        return self._hasher.finish()

    def close(self) -> None:
        """End the thread that hashes."""
        self._hasher.stop()

    def _fill(self) -> bool:
        """Read on; say whether there was more."""
        if self._end == len(self._buffer):
            self._turn_over()
        size = self._read(self._buffer[self._end : self._end + _CHUNK])
        self._end += size
        if self._base + self._end > self._limit:
            raise InvalidInput(f"The archive unpacks to more than {self._limit >> 20} MiB", remedy=MORE_ROOM)
        return size > 0

    def _turn_over(self) -> None:
        """Let the full buffer be hashed, and go on in another with its last bytes in front."""
        full, self._buffer = self._buffer, self._hasher.next_buffer()
        self._buffer[:_KEPT] = full[-_KEPT:]
        self._hasher.update(full, len(full))
        skipped = len(full) - _KEPT
        self._base += skipped
        self._at, self._end = self._at - skipped, _KEPT


class _Hasher:
    """Hashes in a thread, of whole buffers: hashlib lets go of the interpreter meanwhile, and each return to it costs both."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._full: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(_KEPT + _BUFFER)))
        self._is_over = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def next_buffer(self) -> memoryview:
        """Return a buffer to fill from `_KEPT` on; wait until one has been hashed."""
        return self._free.get()

    def update(self, buffer: memoryview, end: int) -> None:
        """Hash it up to its end, and have it back."""
        self._full.put(buffer[:end])

    def finish(self) -> Digest:
        self._full.put(memoryview(b""))
        self._thread.join()
        return Digest("sha256", self._hash.hexdigest())

    def stop(self) -> None:
        """End early; the digest is of no use then."""
        self._is_over = True
        if self._thread.is_alive():
            self.finish()

    def _work(self) -> None:
        while buffer := self._full.get():
            if not self._is_over:
                self._hash.update(buffer[_KEPT:])
            self._free.put(buffer)


@contextlib.contextmanager
def open_plain(file: Path, *, limit: int) -> Iterator[PlainStream]:
    """Open a file that may be compressed. Raises InvalidInput for one that is damaged or unpacks to more than `limit` bytes."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(file.open("rb", buffering=0))
        kind = _compression(raw.read(512))
        raw.seek(0)
        read = stack.enter_context(_decompressed(kind, raw.fileno())) if kind else partial(_read_into, raw.fileno())
        yield stack.enter_context(contextlib.closing(PlainStream(read, limit)))


@contextlib.contextmanager
def read_plain(descriptor: int, *, limit: int) -> Iterator[PlainStream]:
    """Read what comes from a pipe or file that is not compressed. Raises InvalidInput for more than `limit` bytes."""
    with contextlib.closing(PlainStream(partial(_read_into, descriptor), limit)) as plain:
        yield plain


@contextlib.contextmanager
def plain_pipe(start: bytes) -> Iterator[tuple[int, BinaryIO]]:
    """Give the two ends of a pipe: what is written, and begins with `start`, comes out uncompressed. The caller closes both.

    Raises InvalidInput afterwards when it was damaged.
    """
    kind = _compression(start)
    if not kind:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        with open(writing, "wb") as stream:
            yield reading, stream
        return
    program = spawn(_PROGRAMS[kind], stdin=PIPE, stdout=PIPE)
    assert program.stdin is not None and program.stdout is not None
    try:
        yield os.dup(program.stdout.fileno()), cast(BinaryIO, program.stdin)
        program.stdout.close()
        if program.wait() not in (0, _GZIP_WARNING if kind == "gzip" else 0):
            raise InvalidInput("The archive is damaged")
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def _compression(start: bytes) -> str:
    if start[257:262] == b"ustar":
        return ""  # a plain tar, and what it begins with is the name of its first file
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")


def _read_into(descriptor: int, buffer: memoryview) -> int:
    return os.readv(descriptor, [buffer])


@contextlib.contextmanager
def _decompressed(kind: str, descriptor: int) -> Iterator[_Read]:
    """Run the program; it is killed when nobody reads to the end."""
    program = spawn(_PROGRAMS[kind], stdin=descriptor, stdout=PIPE, stderr=PIPE)
    assert program.stdout is not None and program.stderr is not None
    output = program.stdout.fileno()
    with contextlib.suppress(OSError):  # a user's pipes have a limit together
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def read(buffer: memoryview) -> int:
        size = _read_into(output, buffer)
        if not size and program.wait() not in (0, _GZIP_WARNING if kind == "gzip" else 0):
            assert program.stderr is not None
            said = program.stderr.read(4096).decode(errors="replace").strip().splitlines()
            raise InvalidInput(f"The archive is damaged: {said[-1].strip() if said else kind}")
        return size

    try:
        yield read
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
        program.stderr.close()
