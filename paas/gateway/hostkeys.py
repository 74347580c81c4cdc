"""The server's own keys: made at the first start, read by root before it gives its rights up, kept across upgrades."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from paramiko import ECDSAKey, Ed25519Key, PKey, SSHException

from paas.errors import HostProblem
from paas.host.files import atomic_write

Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def load_host_keys(directory: Path) -> tuple[PKey, ...]:
    """Return the host keys, made if they are missing. Raises HostProblem when one is damaged."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    return (
        _load(directory / "ssh_host_ed25519_key", Ed25519Key, ed25519.Ed25519PrivateKey.generate),
        _load(directory / "ssh_host_ecdsa_key", ECDSAKey, lambda: ec.generate_private_key(ec.SECP256R1())),
    )


def _load(path: Path, kind: type[PKey], generate: Callable[[], Private]) -> PKey:
    if not path.exists():
        private = generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        atomic_write(path, private, mode=0o600)
    try:
        key: PKey = kind.from_private_key(io.StringIO(path.read_text()))
    except (SSHException, ValueError) as exc:
        raise HostProblem(f"The SSH host key {path} is damaged: {exc}", remedy=f"restore it, or remove it: rm {path}") from exc
    public = path.with_name(path.name + ".pub")
    if not public.exists():
        atomic_write(public, f"{key.get_name()} {key.get_base64()}\n", mode=0o644)
    return key
