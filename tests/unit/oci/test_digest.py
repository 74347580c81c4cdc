from __future__ import annotations

import hashlib

import pytest

from paas.errors import InvalidInput
from paas.oci.digest import Digest

SHA256 = "a" * 64


def test_digest_prints_as_it_was_written() -> None:
    assert str(Digest.parse(f"sha256:{SHA256}")) == f"sha256:{SHA256}"


@pytest.mark.parametrize(
    "text",
    [
        "", "sha256", "sha256:", f"sha256:{SHA256}0", f"sha256:{SHA256.upper()}", f"md5:{SHA256}", f"sha256:{'g' * 64}",
        f"sha512:{SHA256}",
    ],
)
def test_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Digest.parse(text)


def test_bytes_have_the_digest_of_their_sha256() -> None:
    assert Digest.of_bytes(b"content") == Digest("sha256", hashlib.sha256(b"content").hexdigest())
