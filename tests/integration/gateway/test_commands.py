"""Commands over SSH, with the real OpenSSH client."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import pwd
import signal
import socket
import struct
import termios
from pathlib import Path

import pytest

from serving import Served, Sshd, authorize, eventually, gateway, make_key

pytestmark = pytest.mark.integration


def test_streams_and_exit_code_pass_through(sshd: Sshd) -> None:
    done = sshd.ssh("fail", "7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "failing\n")
    assert sshd.ssh("cat", stdin="ü\n".encode()).stdout == "ü\n"
    assert sshd.ssh("die", "9").returncode == 137


def test_words_are_split_as_a_shell_would(sshd: Sshd) -> None:
    assert sshd.ssh("echo", "'a  b'", '"c"', "d\\ e").stdout == "a  b c d e\n"
    unbalanced = sshd.ssh("echo", "'a")
    assert unbalanced.returncode == 2
    assert unbalanced.stderr.splitlines()[0] == " !     Could not read the command: No closing quotation"


def test_the_key_says_who_it_is_and_is_no_administrator(sshd: Sshd) -> None:
    assert sshd.ssh("whoami").stdout == "alice False\n"


def test_internal_commands_are_refused(sshd: Sshd) -> None:
    refused = sshd.ssh("git:hook", "shop")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (13, " !     git:hook is not for users")


def test_large_output_and_input_arrive_whole(sshd: Sshd) -> None:
    assert sshd.ssh("count", "500000").stdout == "".join(f"{n:07}\n" for n in range(500_000))
    sent = os.urandom(1 << 24)
    assert sshd.ssh("sum", stdin=sent).stdout == hashlib.sha256(sent).hexdigest() + "\n"


def test_a_terminal_is_one_with_the_clients_size(sshd: Sshd) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "vt220"
        os.execvp("ssh", [*sshd.argv("-t"), "terminal"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    assert read_until_end(terminal) == b"True True True 99 33 vt220\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_new_size_reaches_the_command(sshd: Sshd) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("ssh", [*sshd.argv("-t"), "follow-size"])
    read_until(terminal, b"following")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 123, 0, 0))
    read_until(terminal, b"123")
    os.write(terminal, b"\n")
    read_until_end(terminal)
    os.waitpid(pid, 0)


def test_ctrl_c_on_a_terminal_interrupts_the_command(sshd: Sshd, tmp_path: Path) -> None:
    client = sshd.start("ps:sleep", "60", str(tmp_path / "mark"), options=["-tt"])
    assert client.stdin is not None and client.stdout is not None
    assert client.stdout.readline() == b"sleeping\r\n"
    client.stdin.write(b"\x03")
    client.stdin.flush()
    assert client.wait(30) == 130
    assert (tmp_path / "mark").read_text() == "interrupted"


def test_without_a_command_there_is_help_and_no_shell(sshd: Sshd, served: Served) -> None:
    assert sshd.ssh().returncode == 0
    assert sshd.ssh(options=["-T", "-s"], user="paas").returncode != 0


@pytest.mark.parametrize("options", [["-W", "127.0.0.1:22"], ["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22"]])
def test_nothing_is_forwarded(sshd: Sshd, options: list[str]) -> None:
    assert sshd.ssh(options=options).returncode == 255


def test_agent_and_x11_are_not_forwarded(sshd: Sshd) -> None:
    assert "SSH_AUTH_SOCK" not in sshd.ssh("environ", options=["-A", "-X"]).stdout


def test_files_are_not_served(sshd: Sshd) -> None:
    assert sshd.ssh("sftp", options=["-s"]).returncode == 255


def test_only_known_keys_of_the_one_user_come_in(sshd: Sshd, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger")
    assert sshd.ssh("whoami", key=tmp_path / "stranger").returncode == 255
    assert sshd.ssh("whoami", user="root").returncode == 255
    authorize(sshd.run_dir, alice=make_key(tmp_path / "other"), bob=stranger)
    assert sshd.ssh("whoami", key=tmp_path / "stranger").stdout == "bob False\n"
    assert sshd.ssh("whoami").returncode == 255


@pytest.mark.parametrize("options", [["-t", "rsa", "-b", "2048"], ["-t", "ecdsa"]])
def test_other_kinds_of_keys_come_in(sshd: Sshd, tmp_path: Path, options: list[str]) -> None:
    authorize(sshd.run_dir, carol=make_key(tmp_path / "carol", *options))
    assert sshd.ssh("whoami", key=tmp_path / "carol").stdout == "carol False\n"


def test_weak_keys_and_signatures_stay_out(sshd: Sshd, tmp_path: Path) -> None:
    weak = make_key(tmp_path / "weak", "-t", "rsa", "-b", "1024")
    authorize(sshd.run_dir, weak=weak, carol=make_key(tmp_path / "carol", "-t", "rsa"))
    assert sshd.ssh("whoami", key=tmp_path / "weak", options=["-o", "RequiredRSASize=1024"]).returncode == 255
    assert sshd.ssh("whoami", key=tmp_path / "carol", options=["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"]).returncode == 255


def test_a_reader_that_disconnects_ends_its_command(sshd: Sshd, tmp_path: Path) -> None:
    client = sshd.start("logs:sleep", "60", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == b"sleeping\n"
    client.kill()
    client.wait()
    eventually((tmp_path / "mark").exists)


def test_a_change_is_finished_though_its_client_disconnects(sshd: Sshd, tmp_path: Path) -> None:
    client = sshd.start("ps:sleep", "0.5", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == b"sleeping\n"
    client.kill()
    client.wait()
    eventually((tmp_path / "mark").exists)
    assert (tmp_path / "mark").read_text() == "finished"


def test_twenty_clients_at_once(sshd: Sshd) -> None:
    clients = [sshd.start("echo", str(number)) for number in range(20)]
    assert [client.communicate(timeout=60)[0] for client in clients] == [f"{number}\n".encode() for number in range(20)]


def test_several_commands_share_a_connection(sshd: Sshd, tmp_path: Path) -> None:
    shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/c", "-o", "ControlPersist=20"]
    assert [sshd.ssh("echo", str(n), options=shared).stdout for n in range(5)] == [f"{n}\n" for n in range(5)]
    sshd.ssh(options=[*shared, "-O", "exit"])


def test_the_gateway_has_no_privileges(sshd: Sshd) -> None:
    assert sshd.ssh("whoami").returncode == 0
    status = dict(line.split(":", 1) for line in Path(f"/proc/{sshd.pid}/status").read_text().splitlines())
    uid = str(pwd.getpwnam("paas").pw_uid)
    assert status["Uid"].split() == [uid] * 4
    assert status["Groups"].split() == []
    assert (status["CapEff"].strip(), status["CapPrm"].strip(), status["NoNewPrivs"].strip()) == ("0" * 16, "0" * 16, "1")


def test_host_keys_are_roots_alone_and_stay(sshd: Sshd) -> None:
    sshd.ssh("whoami")
    private = sshd.run_dir / "ssh" / "host_keys" / "ssh_host_ed25519_key"
    assert (private.stat().st_uid, private.stat().st_mode & 0o777) == (0, 0o600)
    before = private.read_bytes()
    (sshd.run_dir / "key").unlink()
    with gateway(sshd.run_dir) as second:
        assert second.ssh("whoami", options=["-o", "StrictHostKeyChecking=no"]).returncode == 0
    assert private.read_bytes() == before


def test_addresses_that_never_log_in_are_turned_away(served: Served, tmp_path: Path) -> None:
    with gateway(served.run_dir, **{"ssh-attempts-per-minute": 4}) as sshd:
        make_key(tmp_path / "stranger")
        logins = [sshd.ssh("whoami").returncode for _ in range(6)]
        strangers = [sshd.ssh("whoami", key=tmp_path / "stranger").stderr for _ in range(6)]
    assert logins == [0] * 6
    assert ["Permission denied" in said for said in strangers] == [True] * 4 + [False] * 2


def test_a_dead_executor_is_reported(sshd: Sshd, served: Served) -> None:
    os.kill(served.pid, signal.SIGKILL)
    os.waitpid(served.pid, 0)
    done = sshd.ssh("echo")
    assert (done.returncode, done.stderr) == (69, " !     The server does not answer: Connection refused\n")


def test_the_gateway_waits_for_commands_when_it_stops(sshd: Sshd, tmp_path: Path) -> None:
    client = sshd.start("ps:sleep", "1", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == b"sleeping\n"
    os.kill(sshd.pid, signal.SIGTERM)
    assert client.wait(30) == 0
    assert (tmp_path / "mark").read_text() == "finished"


def test_garbage_on_the_port_disturbs_nobody(sshd: Sshd) -> None:
    connections = [socket.create_connection(("127.0.0.1", sshd.port)) for _ in range(10)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
    assert sshd.ssh("echo", "x").stdout == "x\n"
    for connection in connections:
        connection.close()


def read_until(terminal: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        said += os.read(terminal, 1024)
    return said


def read_until_end(terminal: int) -> bytes:
    said = b""
    while True:
        try:
            received = os.read(terminal, 4096)
        except OSError:
            return said  # EIO: the client has closed its terminal
        if not received:
            return said
        said += received
