"""Config vars at rest: encrypted with a key file, in the database and in the snapshots of releases."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paas.errors import HostProblem, InvalidSetting
from paas.model.env import Secret
from paas.state import State
from paas.state.vault import Vault, new_key

SECRET = "hunter2-ünïcode"


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "config.key"
    file.touch(mode=0o600)
    file.write_text(new_key() + "\n")
    return file


@pytest.fixture
def sealed(tmp_path, key_file):
    return State(tmp_path / "paas.db", key_file=key_file)


def in_the_files(state):
    """Return whether the secret can be read in what lies on the disk."""
    return any(b"hunter2" in file.read_bytes() for file in state.db.file.parent.glob("paas.db*"))


def fill(state):
    state.apps.create("shop", 0)
    state.config.set("shop", {"A": SECRET})
    state.config.set("", {"G": SECRET})
    state.releases.append(
        app="shop", build_id=1, image="i", processes=(), ports=(), config={"A": SECRET}, formation={}, actor="me", cause="",
        now=1.0,
    )  # fmt: skip


def test_with_a_key_nothing_is_to_be_read_in_the_files(sealed, tmp_path, key_file):
    fill(sealed)
    assert not in_the_files(sealed)
    assert sealed.has_sealed
    again = State(tmp_path / "paas.db", key_file=key_file)
    assert again.config.merged("shop") == {"A": SECRET, "G": SECRET}
    release = again.releases.get("shop", 1)
    assert release.config == {"A": SECRET}
    assert isinstance(release.config["A"], Secret)
    assert SECRET not in repr(release)


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_is_opened_byte_for_byte(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("k") / "key"
    file.touch(mode=0o600)
    file.write_text(new_key())
    vault = Vault(file)
    stored = vault.seal(text)
    assert isinstance(stored, bytes) and vault.open(stored) == text
    assert stored != vault.seal(text)
    assert Vault().open(Vault().seal(text)) == text


def test_what_was_plain_is_readable_with_a_key_and_sealed_by_a_reseal(state, key_file):
    fill(state)
    assert in_the_files(state)
    sealed = State(state.db.file, key_file=key_file)
    assert sealed.config.get("shop") == {"A": SECRET}
    state.db.close()
    assert sealed.reseal(sealed.vault) == 3
    assert not in_the_files(sealed)
    assert (sealed.config.get("shop"), sealed.releases.get("shop", 1).config) == ({"A": SECRET}, {"A": SECRET})
    assert sealed.reseal(Vault()) == 3
    assert not sealed.has_sealed
    assert state.config.get("shop") == {"A": SECRET}


def test_a_removed_secret_does_not_stay_in_the_file(state):
    fill(state)
    state.config.unset("shop", ["A"])
    state.config.unset("", ["G"])
    state.apps.destroy("shop")
    state.db.scrub()
    assert not in_the_files(state)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda file: file.unlink(), HostProblem, "cannot be read: No such file"),
        (lambda file: file.write_text(new_key()), HostProblem, "encrypted with another key"),
        (lambda file: file.chmod(0o640), HostProblem, "Others may read the key"),
        (lambda file: file.write_text("\n"), HostProblem, "is empty"),
        (lambda file: file.write_text("hello"), InvalidSetting, "holds no key"),
        (lambda file: file.write_bytes(b"\xff\xfe"), HostProblem, "it is no text"),
    ],
)
def test_without_the_right_key_it_is_said_what_is_wrong(sealed, tmp_path, key_file, spoil, error, said):
    fill(sealed)
    spoil(key_file)
    state = State(tmp_path / "paas.db", key_file=key_file)
    with pytest.raises(error, match=said) as caught:
        state.config.get("shop")
    assert caught.value.remedy
    with pytest.raises(error):
        dict(state.releases.get("shop", 1).config)
    assert [release.version for release in state.releases.list("shop")] == [1]
    with pytest.raises(HostProblem, match="no key file is set"):
        State(tmp_path / "paas.db").config.get("shop")


def test_of_several_keys_the_first_seals_and_all_open_and_a_changed_file_is_noticed(tmp_path, key_file):
    vault, (old,) = Vault(key_file), key_file.read_text().split()
    stored = vault.seal("x")
    new = new_key()
    key_file.write_text(f"{new}\n{old}\n")
    assert vault.open(stored) == "x"
    resealed = vault.seal("x")
    key_file.write_text(f"{new}\n\n")
    assert vault.open(resealed) == "x"
    with pytest.raises(HostProblem, match="another key"):
        vault.open(stored)


def test_a_manipulated_value_is_not_opened(sealed, tmp_path):
    fill(sealed)
    with sqlite3.connect(tmp_path / "paas.db") as connection:
        (token,) = connection.execute("SELECT value FROM config WHERE scope = 'shop'").fetchone()
        connection.execute("UPDATE config SET value = ? WHERE scope = 'shop'", (token[:-4] + b"AAAA",))
    with pytest.raises(HostProblem):
        sealed.config.get("shop")
