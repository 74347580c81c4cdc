"""The installer's front: what it refuses, and that a refusal changes nothing. The whole installation is test_installation.py."""

from __future__ import annotations

import pytest

from harness import APPS, run

PROVISION = APPS.parent.parent / "vagrant" / "provision.sh"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--bogus"], "unknown option: --bogus"),
        (["--domain"], "--domain needs a value"),
        (["--domain", "no domain"], "'no domain' is not a domain name"),
        (["--domain="], "--domain needs a value"),
        (["--ssh-port", "0"], "'0' is not a port"),
        (["--ssh-port=70000"], "'70000' is not a port"),
        (["--ssh-port", "ssh"], "'ssh' is not a port"),
        (["--purge"], "--purge goes with --uninstall"),
    ],
)
def test_a_wrong_option_is_refused(arguments: list[str], complaint: str) -> None:
    refused = run([PROVISION, *arguments])
    assert refused.code == 1
    assert complaint in refused.stderr


def test_help_lists_every_option() -> None:
    shown = run([PROVISION, "--help"]).expect().stdout
    options = ("--demo", "--domain", "--ssh-port", "--openssh", "--prepare", "--uninstall", "--purge")
    assert [option for option in options if option not in shown] == []


@pytest.mark.integration
def test_it_must_be_root() -> None:
    refused = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", PROVISION])
    assert refused.code == 1
    assert "this must run as root" in refused.stderr
