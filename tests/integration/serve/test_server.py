"""The whole server, with the real command line: start, kills, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving import eventually, make_key, open_directory
from slots import claim_slot

pytestmark = pytest.mark.integration

PAAS = Path(sys.executable).parent / "paas"


@dataclass(kw_only=True)
class Server:
    base: Path
    port: int

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PAAS_ROOT": str(self.base), "PAAS_RUN": str(self.base), "PAAS_ETC": str(self.base)}

    @property
    def pid(self) -> int:
        return int((self.base / "serve.pid").read_text())

    def paas(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([PAAS, *argv], env=self.env, capture_output=True, text=True, timeout=90, check=False)

    def ssh(self, *command: str) -> subprocess.CompletedProcess[str]:
        argv = [*self.ssh_argv, "paas@127.0.0.1", *command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    @property
    def ssh_argv(self) -> list[str]:
        return [
            "ssh", "-F", "none", "-p", str(self.port), "-i", str(self.base / "key"), "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.base}/known", "-o", "LogLevel=ERROR",
        ]  # fmt: skip

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        """Start it in the foreground and wait until it answers."""
        with (self.base / "log").open("ab") as log:
            process = subprocess.Popen([PAAS, "serve"], env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: self.children().keys() == {"executor", "supervisor", "gateway"}, timeout_s=60)
        return process

    def children(self) -> dict[str, int]:
        """Return the server's children by name."""
        with contextlib.suppress(OSError, ValueError):
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            names = {int(pid): Path(f"/proc/{pid}/comm").read_text().strip() for pid in listed}
            return {name.removeprefix("paas-"): pid for pid, name in names.items() if name != "paas-serve" and "boot" not in name}
        return {}


@pytest.fixture
def idle() -> Iterator[Server]:
    """An instance whose server does not run yet."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    slot = claim_slot()
    with open_directory() as base:
        (base / "paas.toml").write_text(
            f'ssh-port = {port}\nssh-address = "127.0.0.1"\nnetwork-prefix = "{slot.prefix}"\nnetwork-pool = "{slot.pool}"\n'
            f'cgroup-parent = "/paas-test-{slot.prefix}"\nnginx-main = "{base}/nginx.conf"\nnginx-dir = "{base}/nginx"\n'
        )
        made = Server(base=base, port=port)
        yield made
        made.paas("serve", "--stop")
    slot.release()


@pytest.fixture
def server(idle: Server) -> Iterator[Server]:
    """A running server that lets alice in."""
    make_key(idle.base / "key")
    process = idle.start()
    added = idle.paas("ssh-keys:add", "alice", str(idle.base / "key.pub"))
    assert added.returncode == 0, added.stderr
    eventually(lambda: idle.ssh("version").returncode == 0)  # then the gateway has its name, too
    yield idle
    process.terminate()
    process.wait(60)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; nobody need have waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_commands_come_in_by_both_doors(server: Server) -> None:
    assert server.paas("version").stdout.startswith("paas version")
    assert server.ssh("version").stdout.startswith("paas version")
    assert server.paas("apps:create", "shop").returncode == 0
    assert "shop" in server.ssh("apps:list").stdout
    refused = server.ssh("ssh-keys:list")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (13, " !     ssh-keys is for administrators")


def test_a_second_server_is_refused(server: Server) -> None:
    refused = server.paas("serve")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[0] == f" !     The server runs already (pid {server.pid})"
    assert server.paas("version").returncode == 0


@pytest.mark.parametrize("name", ["executor", "supervisor", "gateway"])
def test_a_killed_child_is_replaced_and_nobody_is_refused(server: Server, name: str) -> None:
    before = server.children()
    os.kill(before[name], signal.SIGKILL)
    assert server.paas("version").returncode == 0
    assert server.ssh("version").returncode == 0
    eventually(lambda: server.children().get(name, before[name]) != before[name])
    assert {n: p for n, p in server.children().items() if n != name} == {n: p for n, p in before.items() if n != name}


def test_children_end_with_a_killed_parent_and_a_new_server_takes_over(server: Server) -> None:
    children = server.children()
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: all(is_gone(pid) for pid in children.values()))
    second = server.start()
    assert server.paas("version").returncode == 0
    assert server.ssh("version").returncode == 0
    second.terminate()
    assert second.wait(60) == 0


def test_the_server_ends_cleanly(idle: Server) -> None:
    process = idle.start()
    children = idle.children()
    process.terminate()
    assert process.wait(60) == 0
    assert all(is_gone(pid) for pid in children.values())
    assert not (idle.base / "paas.sock").exists()


def test_the_service_manager_is_told(idle: Server) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(idle.base / "notify"))
        manager.settimeout(60)
        process = idle.start(NOTIFY_SOCKET=str(idle.base / "notify"))
        assert manager.recv(100) == b"READY=1"
        process.terminate()
        assert manager.recv(100) == b"STOPPING=1"
        process.wait(60)


def test_detached_server_is_ready_when_the_command_returns(idle: Server) -> None:
    started = idle.paas("serve", "--detach")
    assert started.returncode == 0, started.stderr
    assert idle.paas("version").returncode == 0
    pid = idle.pid
    assert idle.paas("serve", "--detach").stderr.startswith(f" !     The server runs already (pid {pid})")
    stopped = idle.paas("serve", "--stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"-----> Stopping the server (pid {pid})\n")
    assert is_gone(pid)
    assert idle.paas("serve", "--stop").stderr.startswith(" !     The server does not run")


@pytest.mark.parametrize("option", [[], ["--detach"]])
def test_a_taken_port_is_named(idle: Server, option: list[str]) -> None:
    with socket.create_server(("127.0.0.1", idle.port)):
        refused = idle.paas("serve", *option)
    assert refused.returncode == 80
    assert f"Could not listen for SSH on port {idle.port}: Address already in use" in refused.stderr
    assert "set another ssh-port in paas.toml" in refused.stderr


def test_openssh_leads_to_the_same_commands(server: Server) -> None:
    (server.base / "ssh" / "authorized_keys").write_text(
        f'command="env PAAS_RUN={server.base} {PAAS} ssh-command bob",restrict,pty '
        + (server.base / "key.pub").read_text()
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    make_key(server.base / "host_key")
    (server.base / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {server.base}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {server.base}/ssh/authorized_keys\nPasswordAuthentication no\nDisableForwarding yes\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation directory
    sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", server.base / "sshd_config"], stderr=subprocess.PIPE)
    try:
        through = Server(base=server.base, port=port)
        eventually(lambda: through.ssh("version").returncode == 0)
        assert through.ssh("apps:create", "lib").returncode == 0
        assert "bob apps:create lib" in server.paas("events").stdout
        assert through.ssh("no:such").returncode == server.ssh("no:such").returncode != 0
        env = {**os.environ, "GIT_SSH_COMMAND": " ".join(through.ssh_argv)}
        list_refs = ["git", "ls-remote", "ssh://paas@127.0.0.1/lib"]
        listed = subprocess.run(list_refs, env=env, capture_output=True, text=True, check=False)
        assert (listed.returncode, listed.stdout) == (0, ""), listed.stderr
    finally:
        sshd.terminate()
        sshd.wait()
