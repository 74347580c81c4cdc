"""Digest: `algorithm:hex`, the name of a blob by its content.

Source: OCI image-spec v1.1, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from paas.errors import InvalidInput

#: The algorithms that image-spec registers, and how many hex digits each has.
HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+\Z")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A checked digest. Make it with `parse` or `of_*`, then trust it."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:…`. Raises InvalidInput."""
        algorithm, _, encoded = text.partition(":")
        if HEX_LENGTH.get(algorithm) != len(encoded) or not _HEX.match(encoded):
            raise InvalidInput(f"'{text}' is not a digest", remedy="write sha256: and 64 lowercase hex digits")
        return cls(algorithm, encoded)

    @classmethod
    def of_bytes(cls, content: bytes) -> Digest:
        """Return the sha256 digest of the content."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
