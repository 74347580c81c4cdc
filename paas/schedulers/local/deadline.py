"""A limit for the whole of a conversation: a socket's own timeout starts anew with each byte that comes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def cut_after(peer: socket.socket, timeout_s: float) -> Iterator[None]:
    """End the conversation when it takes longer than that: TimeoutError."""
    from http.client import HTTPException

    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
        if is_cut.is_set():
            raise TimeoutError
    except (OSError, HTTPException, ValueError) as exc:
        if is_cut.is_set():
            raise TimeoutError from exc
        raise
    finally:
        timer.cancel()
