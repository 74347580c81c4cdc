"""Encrypting config vars that are there already, and changing the key. A kill at any line leaves everything readable.

The order is what makes it so: a new key is in the file before anything is sealed with it, and an old one leaves the file after
nothing is sealed with it any more.
"""

from __future__ import annotations

from pathlib import Path

from paas.context import Context
from paas.errors import HostProblem, InvalidSetting
from paas.host.files import atomic_write, flock
from paas.state.vault import Vault, new_key, read_keys


def rekey(ctx: Context, *, with_new_key: bool = False) -> int:
    """Encrypt all config vars with the first key of the key file, made if need be; return how many values there are.

    With `with_new_key` a fresh key takes the place of those that are there.
    """
    with flock(ctx.paths.locks / "rekey.lock", what="config:rekey"):
        file = key_file(ctx)
        if not file.exists():
            _make_key_file(ctx, file)
        elif with_new_key:
            _write_keys(file, new_key(), *read_keys(file))
        count = ctx.state.reseal(ctx.state.vault)
        _write_keys(file, read_keys(file)[0])
    ctx.state.events.record("", ctx.identity.name, "config:rekey", "a new key" if with_new_key else "", ctx.now())
    return count


def decrypt(ctx: Context) -> int:
    """Store all config vars unencrypted; return how many there are. While the key file is set, what comes later is encrypted."""
    with flock(ctx.paths.locks / "rekey.lock", what="config:rekey"):
        key_file(ctx)
        count = ctx.state.reseal(Vault())
    ctx.state.events.record("", ctx.identity.name, "config:rekey", "decrypted", ctx.now())
    return count


def key_file(ctx: Context) -> Path:
    """Return the key file that is set. Raises InvalidSetting."""
    if not ctx.settings.config_key_file:
        raise InvalidSetting(
            "No key file is set",
            remedy=f"add a line to {ctx.paths.settings_file} and restart the server: config-key-file = \"/etc/paas/config.key\"",
        )
    return Path(ctx.settings.config_key_file)


def _make_key_file(ctx: Context, file: Path) -> None:
    """Make the first key. Raises HostProblem if there was one before: what it sealed would be lost for good."""
    if ctx.state.has_sealed:
        raise HostProblem(
            f"The config vars are encrypted, and their key file {file} is missing", remedy="put it back, e.g. from a backup"
        )
    ctx.output.step(f"Making a key in {file}")
    _write_keys(file, new_key())


def _write_keys(file: Path, *keys: str) -> None:
    atomic_write(file, "".join(f"{key}\n" for key in keys), mode=0o600)
