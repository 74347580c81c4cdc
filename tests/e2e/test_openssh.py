"""The machine's own OpenSSH in front: the same keys, the same commands, git included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.samples import app
from harness import Instance, Result, openssh, run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def port(instance: Instance) -> Iterator[int]:
    with openssh(instance) as number:
        yield number


def ssh(instance: Instance, port: int, *argv: str) -> Result:
    options = [str(port) if word == str(instance.ssh_port) else word for word in instance.ssh_argv]
    return run([*options, "paas@127.0.0.1", *argv])


def test_a_push_goes_live(instance: Instance, port: int, app_name: str) -> None:
    repository = instance.repository(app("by openssh"))
    env = " ".join(str(port) if word == str(instance.ssh_port) else word for word in instance.ssh_argv)
    repository.git("config", "core.sshCommand", env).expect()
    pushed = run(["git", "push", f"ssh://paas@127.0.0.1:{port}/{app_name}", "master"], cwd=repository.directory)
    assert "=====> Application deployed:" in pushed.expect().stderr
    assert instance.get(f"{app_name}.localhost").text == "by openssh"


def test_commands_run_as_the_owner_of_the_key(instance: Instance, port: int) -> None:
    assert ssh(instance, port, "apps:list").code == 0
    assert ssh(instance, port, "apps:exists", "nobody").code == 20
    assert ssh(instance, port, "ssh-keys:list").code == 13


def test_there_is_no_shell_and_no_forwarding(instance: Instance, port: int) -> None:
    assert ssh(instance, port, "sh", "-c", "id").code != 0
    options = [str(port) if word == str(instance.ssh_port) else word for word in instance.ssh_argv]
    assert run([*options, "-W", f"127.0.0.1:{instance.http_port}", "paas@127.0.0.1"]).code != 0
