"""Turning encryption on, changing the key, turning it off: readable at every line."""

from __future__ import annotations

import contextlib
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from paas.context import Context, key_file
from paas.deploy import rekey
from paas.errors import HostProblem, InvalidSetting
from paas.settings import Settings
from paas.state import State


def with_key(ctx: Context, file: Path) -> Context:
    """Return the context of a server that was started with this key file."""
    return replace(ctx, settings=replace(ctx.settings, config_key_file=str(file)), state=State(ctx.paths.database, key_file=file))


@pytest.fixture
def keyed(ctx, tmp_path):
    ctx.state.config.set("", {"A": "secret"})
    return with_key(ctx, tmp_path / "etc" / "config.key")


def test_without_a_setting_there_is_nothing_to_do(ctx):
    for work in (rekey.rekey, rekey.decrypt):
        with pytest.raises(InvalidSetting, match="No key file is set") as caught:
            work(ctx)
        assert "config-key-file = " in caught.value.remedy
    assert key_file(Settings()) is None
    with pytest.raises(InvalidSetting, match="must begin with '/'"):
        key_file(Settings(config_key_file="key"))


def test_the_first_time_makes_a_key_that_only_root_reads(keyed):
    assert rekey.rekey(keyed) == 1
    file = Path(keyed.settings.config_key_file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keyed.state.has_sealed
    assert keyed.state.config.get("") == {"A": "secret"}
    before = file.read_text()
    assert rekey.rekey(keyed) == 1
    assert file.read_text() == before


def test_a_missing_key_is_never_replaced_by_a_new_one(keyed):
    rekey.rekey(keyed)
    Path(keyed.settings.config_key_file).unlink()
    with pytest.raises(HostProblem, match="their key file .* is missing"):
        rekey.rekey(keyed)
    assert not Path(keyed.settings.config_key_file).exists()


def test_a_new_key_takes_the_place_of_the_old_one(keyed):
    rekey.rekey(keyed)
    file = Path(keyed.settings.config_key_file)
    old = file.read_text()
    assert rekey.rekey(keyed, with_new_key=True) == 1
    assert file.read_text() != old and len(file.read_text().split()) == 1
    assert with_key(keyed, file).state.config.get("") == {"A": "secret"}


def test_decrypted_config_needs_no_key(ctx, keyed):
    rekey.rekey(keyed)
    assert rekey.decrypt(keyed) == 1
    assert ctx.state.config.get("") == {"A": "secret"}


@pytest.mark.parametrize("with_new_key", [False, True])
@pytest.mark.parametrize("killed_at", range(4))
def test_a_kill_between_any_two_steps_leaves_everything_readable(keyed, monkeypatch, with_new_key, killed_at):
    if with_new_key:
        rekey.rekey(keyed)
    steps = [0]

    def killed_once(step):
        def run(*arguments, **options):
            if steps[0] == killed_at:
                raise SystemExit(137)
            steps[0] += 1
            return step(*arguments, **options)

        return run

    monkeypatch.setattr(rekey, "_write_keys", killed_once(rekey._write_keys))
    monkeypatch.setattr(State, "reseal", killed_once(State.reseal))
    with contextlib.suppress(SystemExit):
        rekey.rekey(keyed, with_new_key=with_new_key)
    monkeypatch.undo()
    after = with_key(keyed, Path(keyed.settings.config_key_file))
    assert after.state.config.get("") == {"A": "secret"}
    assert rekey.rekey(after, with_new_key=with_new_key) == 1
    assert after.state.config.get("") == {"A": "secret"}
