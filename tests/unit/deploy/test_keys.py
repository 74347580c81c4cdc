import subprocess

import pytest

from paas.deploy import keys
from paas.errors import Conflict, InvalidInput, NotFound
from paas.serve.boot import bring_back


@pytest.fixture(scope="module")
def key_of(tmp_path_factory):
    """Return a function that makes public keys of a type, once each."""
    folder = tmp_path_factory.mktemp("keys")

    def make(kind: str, bits: str = "") -> str:
        file = folder / f"{kind}{bits}"
        if not file.exists():
            options = ["-b", bits] if bits else []
            argv = ["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", "me@home with spaces", "-f", str(file)]
            subprocess.run(argv, check=True)
        return file.with_suffix(".pub").read_text()

    return make


@pytest.mark.parametrize(("kind", "bits"), [("ed25519", ""), ("ecdsa", "256"), ("ecdsa", "521"), ("rsa", "2048")])
def test_sound_keys_come_in_with_the_fingerprint_that_ssh_keygen_shows(ctx, key_of, kind, bits):
    key = keys.add_key(ctx, "me", key_of(kind, bits))
    assert key.fingerprint.startswith("SHA256:")
    assert ctx.state.access.keys() == (key,)
    assert ctx.paths.authorized_keys.read_text() == (
        f'command="env PAAS_RUN={ctx.paths.run} {keys.program()} ssh-command me",restrict,pty {key.public_key} me\n'
    )
    assert "spaces" not in key.public_key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not one SSH public key"),
        ("hello", "not one SSH public key"),
        ("ssh-ed25519 AAAA\nssh-ed25519 BBBB\n", "not one SSH public key"),
        ("ssh-dss AAAAB3NzaC1kc3M= me", "ssh-dss are not accepted"),
        ('command="sh" ssh-ed25519 AAAA', "are not accepted"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIdamaged me", "damaged"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", "private key"),
    ],
)
def test_what_is_no_sound_key_stays_out(ctx, text, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        keys.add_key(ctx, "me", text)
    assert caught.value.remedy
    assert ctx.state.access.keys() == ()


def test_a_weak_rsa_key_stays_out(ctx, key_of):
    with pytest.raises(InvalidInput, match="1024 bits is too weak"):
        keys.add_key(ctx, "me", key_of("rsa", "1024"))


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "-x", "a\nb", "a;b", "x" * 65])
def test_a_name_cannot_carry_anything_into_the_file(ctx, key_of, name):
    with pytest.raises(InvalidInput):
        keys.add_key(ctx, name, key_of("ed25519"))


def test_a_removed_key_leaves_the_file(ctx, key_of):
    keys.add_key(ctx, "alice", key_of("ed25519"))
    keys.add_key(ctx, "bob", key_of("ecdsa", "256"))
    with pytest.raises(Conflict, match="known already, as 'alice'"):
        keys.add_key(ctx, "carol", key_of("ed25519"))
    keys.remove_key(ctx, "alice")
    assert [line.split()[-1] for line in ctx.paths.authorized_keys.read_text().splitlines()] == ["bob"]
    with pytest.raises(NotFound):
        keys.remove_key(ctx, "alice")
    assert [e.event for e in ctx.state.events.list()] == ["ssh-keys:add", "ssh-keys:add", "ssh-keys:remove"]


def test_a_start_of_the_server_lets_in_no_key_whose_removal_was_cut_off(ctx, key_of):
    keys.add_key(ctx, "alice", key_of("ed25519"))
    ctx.state.access.remove_key("alice")  # killed here: recorded, and the file not yet written
    assert bring_back(ctx) == 0
    assert ctx.paths.authorized_keys.read_text() == ""
