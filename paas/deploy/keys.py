"""SSH keys: recorded in the state, and written out for both SSH fronts as one authorized_keys file."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from paas.context import Context
from paas.errors import CommandFailed, InvalidInput
from paas.host.files import atomic_write, flock
from paas.host.run import run
from paas.state.access import Key

KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
#: Key types that both fronts accept. DSA is broken, RSA below 2048 bits is weak.
TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
MIN_RSA_BITS = 2048
#: Where the installer links the program; it stays there across upgrades.
INSTALLED = Path("/usr/local/bin/paas")


def add_key(ctx: Context, name: str, text: str) -> Key:
    """Let a public key in under this name. Raises InvalidInput, Conflict."""
    if not KEY_NAME.match(name):
        raise InvalidInput(f"'{name}' is not a name for a key", remedy="use letters, digits, '.', '-', '_' and '@', e.g. alice")
    public_key = parse_public_key(text)
    fingerprint = fingerprint_of(public_key)
    with _keys_turn(ctx, "ssh-keys:add"):
        key = ctx.state.access.add_key(name, public_key, fingerprint, ctx.now())
        write_authorized_keys(ctx)
    ctx.state.events.record("", ctx.identity.name, "ssh-keys:add", f"{name} {fingerprint}", ctx.now())
    return key


def remove_key(ctx: Context, name: str) -> None:
    """Let a key in no longer. Raises NotFound."""
    with _keys_turn(ctx, "ssh-keys:remove"):
        ctx.state.access.remove_key(name)
        write_authorized_keys(ctx)
    ctx.state.events.record("", ctx.identity.name, "ssh-keys:remove", name, ctx.now())


def parse_public_key(text: str) -> str:
    """Return `type base64` of the one public key in the text. Raises InvalidInput. Pure."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if "PRIVATE KEY" in text:
        raise InvalidInput("This is a private key; it must never leave your machine", remedy="use the file that ends in .pub")
    if len(lines) != 1 or len(lines[0]) < 2:
        raise InvalidInput("This is not one SSH public key", remedy="e.g. cat ~/.ssh/id_ed25519.pub | paas ssh-keys:add me")
    kind, blob = lines[0][:2]
    if kind not in TYPES:
        raise InvalidInput(f"Keys of type {kind} are not accepted", remedy="make one with: ssh-keygen -t ed25519")
    return f"{kind} {blob}"


def fingerprint_of(public_key: str) -> str:
    """Return the SHA256 fingerprint; ssh-keygen decides whether the key is well-formed. Raises InvalidInput."""
    try:
        said = run(["ssh-keygen", "-l", "-E", "sha256", "-f", "/dev/stdin"], stdin=public_key.encode() + b"\n")
    except CommandFailed as exc:
        raise InvalidInput("This SSH public key is damaged", remedy="copy the whole line of the .pub file") from exc
    bits, fingerprint = said.split()[:2]
    if public_key.startswith("ssh-rsa ") and int(bits) < MIN_RSA_BITS:
        raise InvalidInput(f"An RSA key of {bits} bits is too weak", remedy="make one with: ssh-keygen -t ed25519")
    return fingerprint


def restore_authorized_keys(ctx: Context) -> None:
    """Let exactly the recorded keys in: a command that died between record and file must not leave a removed key working."""
    with _keys_turn(ctx, "start of the server"):
        write_authorized_keys(ctx)


def write_authorized_keys(ctx: Context) -> None:
    """Write the file that the gateway and OpenSSH read: each key may run our command as its owner, and nothing else."""
    command = f"env PAAS_RUN={shlex.quote(str(ctx.paths.run))} {shlex.quote(str(program()))} ssh-command"
    known = ctx.state.access.keys()
    lines = [f'command="{command} {key.name}",restrict,pty {key.public_key} {key.name}\n' for key in known]
    atomic_write(ctx.paths.authorized_keys, "".join(lines), mode=0o644)


def _keys_turn(ctx: Context, what: str) -> AbstractContextManager[None]:
    return flock(ctx.paths.locks / "ssh-keys.lock", what=what)


def program() -> Path:
    """Return the program that OpenSSH runs for a key."""
    return INSTALLED if INSTALLED.exists() else Path(sys.executable).parent / "paas"
