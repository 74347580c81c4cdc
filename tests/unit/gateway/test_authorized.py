"""authorized_keys, as both SSH fronts read it."""

from __future__ import annotations

from pathlib import Path

from paas.gateway.authorized import AuthorizedKeys, parse_authorized_keys

LINE = 'command="env PAAS_RUN=/run/paas /usr/local/bin/paas ssh-command alice",restrict,pty ssh-ed25519 AAAAC3Nz+/= alice\n'


def test_names_are_found_behind_options() -> None:
    text = LINE + "# a comment\n\nssh-rsa AAAAB3 bob\necdsa-sha2-nistp256 AAAAE2 carol@home\n"
    assert parse_authorized_keys(text) == {
        ("ssh-ed25519", "AAAAC3Nz+/="): "alice",
        ("ssh-rsa", "AAAAB3"): "bob",
        ("ecdsa-sha2-nistp256", "AAAAE2"): "carol@home",
    }


def test_lines_without_a_name_or_of_other_types_let_nobody_in() -> None:
    assert parse_authorized_keys("ssh-ed25519 AAAA\nssh-dss AAAA dave\nnonsense\n") == {}


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "authorized_keys"
    keys = AuthorizedKeys(file)
    assert keys.name_of("ssh-ed25519", "AAAAC3Nz+/=") == ""
    file.write_text(LINE)
    assert keys.name_of("ssh-ed25519", "AAAAC3Nz+/=") == "alice"
    file.unlink()
    assert keys.name_of("ssh-ed25519", "AAAAC3Nz+/=") == ""
