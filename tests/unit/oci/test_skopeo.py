"""What skopeo says, told without its log format and with what to do about it."""

from __future__ import annotations

import pytest

from paas.errors import HostProblem, InvalidInput
from paas.oci.skopeo import DEFAULT_REGISTRIES, explained, reason_of

PROGRESS = "Copying blob sha256:3b4c"


def logged(message: str) -> str:
    return f'time="2026-11-28T22:50:36Z" level=fatal msg="{message}"'


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("reading manifest: unauthorized: authentication required", "log in: paas registry:login --global reg.example:5000"),
        ("logging in: invalid username/password", "check the user and the password"),
        ("reading manifest v1 in reg.example/app: manifest unknown", "check the name and the tag"),
        ("x509: certificate signed by unknown authority", "certs.d/reg.example:5000/ca.crt"),
        ("happened during read: Digest did not match, expected sha256:c0ca, got sha256:15c8", "something else than it promised"),
        ("happened during read: unexpected EOF", "try again"),
        ("dial tcp: connection refused", "that the registry answers"),
    ],
)
def test_a_registry_s_refusal_is_told_in_its_words_with_the_way_out(said: str, remedy: str) -> None:
    problem = explained("Could not pull app", [PROGRESS, logged(said)], DEFAULT_REGISTRIES, "reg.example:5000")
    assert isinstance(problem, HostProblem)
    assert (problem.message, tuple(problem.output)) == ("Could not pull app", (said,))
    assert remedy in problem.remedy and reason_of(problem) == said


def test_what_is_not_logged_is_told_as_it_is() -> None:
    problem = explained("Could not pull app", [PROGRESS, "signal: killed"], DEFAULT_REGISTRIES, "reg.example")
    assert tuple(problem.output) == (PROGRESS, "signal: killed")


def test_quotes_in_a_message_are_plain() -> None:
    said = logged(r'Get \"https://reg.example/v2/\": EOF')
    problem = explained("Could not pull app", [said], DEFAULT_REGISTRIES, "reg.example")
    assert tuple(problem.output) == ('Get "https://reg.example/v2/": EOF',)


def test_an_archive_that_skopeo_refuses_is_at_fault_itself() -> None:
    problem = explained("Could not load a.tar", [logged("decoding config: json")], DEFAULT_REGISTRIES, "", is_archive=True)
    assert isinstance(problem, InvalidInput)
    assert problem.message == "Could not load a.tar: decoding config: json" and "docker save" in problem.remedy


def test_a_full_disk_is_not_the_archive_s_fault() -> None:
    said = [logged("writing blob: no space left on device")]
    assert isinstance(explained("Could not load a.tar", said, DEFAULT_REGISTRIES, "", is_archive=True), HostProblem)
