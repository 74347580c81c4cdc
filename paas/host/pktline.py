"""Git's pkt-line framing, as its proc-receive hook speaks it. Pure but for the streams it is given.

Source: gitprotocol-common(5), pkt-line format; githooks(5), proc-receive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

FLUSH = b"0000"


def packet(text: str) -> bytes:
    """Frame one line."""
    payload = text.encode()
    return b"%04x" % (len(payload) + 4) + payload


def packets_until_flush(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines up to the next flush packet, without their newlines; a stream that ends counts as flushed."""
    while len(head := stream.read(4)) == 4 and head != FLUSH:
        yield stream.read(int(head, 16) - 4).decode().rstrip("\n")
