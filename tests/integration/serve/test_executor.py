"""The executor with real processes, sockets and signals."""

from __future__ import annotations

import array
import json
import os
import pty
import pwd
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving import CLIENT, Served, eventually

pytestmark = pytest.mark.integration


def test_command_uses_the_clients_streams_and_exit_code(served: Served) -> None:
    assert served.paas("echo", "a b", "ü", "\udcff").stdout.encode(errors="surrogateescape") == "a b ü ".encode() + b"\xff\n"
    assert served.paas("cat", input="through\n").stdout == "through\n"
    failed = served.paas("fail", "7")
    assert (failed.returncode, failed.stderr) == (7, "failing\n")


def test_no_server_is_told_apart_from_every_exit_code(served: Served) -> None:
    os.kill(served.pid, signal.SIGKILL)
    os.waitpid(served.pid, 0)
    assert served.paas("echo").returncode == 250
    env = {**os.environ, "PAAS_RUN": "/nonexistent"}
    assert subprocess.run([sys.executable, "-c", CLIENT], env=env, check=False).returncode == 250


def test_root_is_the_administrator(served: Served) -> None:
    assert served.paas("whoami").stdout == "root True\n"


def test_the_ssh_user_speaks_for_a_key_and_is_never_administrator(served: Served) -> None:
    done = served.paas("whoami", user="paas", group="paas", extra_groups=[])
    assert done.stdout == "paas False\n", done.stderr
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, "whoami"], env={**served.env, "PAAS_IDENTITY": "alice"}, capture_output=True, text=True,
        user="paas", group="paas", extra_groups=[], check=False,
    )  # fmt: skip
    assert done.stdout == "alice False\n"


def test_other_users_are_refused_unless_they_are_in_the_group(served: Served) -> None:
    refused = served.paas("whoami", user="nobody", group="nogroup", extra_groups=[])
    assert refused.returncode == 13
    assert refused.stderr == (
        " !     User nobody may not use paas\n"
        "       run it with sudo, or let nobody in: sudo usermod -aG paas nobody (and log in again)\n"
    )
    group = pwd.getpwnam("paas").pw_gid
    assert served.paas("whoami", user="nobody", group="nogroup", extra_groups=[group]).stdout == "nobody False\n"


def test_only_listed_variables_reach_a_command(served: Served) -> None:
    env = {**served.env, "TERM": "vt100", "LD_PRELOAD": "", "EVIL": "1", "GIT_PUSH_OPTION_0": "x"}
    done = subprocess.run([sys.executable, "-c", CLIENT, "environ"], env=env, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert {"TERM=vt100", "GIT_PUSH_OPTION_0=x", "PAAS_IDENTITY=root"} <= set(lines)
    assert not [line for line in lines if line.startswith("EVIL=")]


def test_administrators_command_runs_in_his_directory(served: Served, tmp_path: Path) -> None:
    assert served.paas("pwd", cwd=tmp_path).stdout == f"{tmp_path}\n"


def test_a_fault_is_printed_and_hurts_nobody_else(served: Served) -> None:
    crashed = served.paas("crash")
    assert crashed.returncode == 70
    assert "RuntimeError: a fault of ours" in crashed.stderr
    assert served.paas("die", "9").returncode == 137
    assert served.paas("echo", "still here").stdout == "still here\n"


def test_a_command_holds_no_descriptors_of_others(served: Served, tmp_path: Path) -> None:
    other = served.start("logs:sleep", "60", str(tmp_path / "mark"))
    assert other.stdout is not None and other.stdout.readline() == "sleeping\n"
    *streams, _ours = json.loads(served.paas("descriptors").stdout)  # the last one leads to the executor
    assert streams == [0, 1, 2]
    other.kill()
    other.wait()


def test_interrupt_reaches_the_command(served: Served, tmp_path: Path) -> None:
    client = served.start("ps:sleep", "60", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == "sleeping\n"
    client.send_signal(signal.SIGINT)
    assert client.wait(20) == 130
    assert (tmp_path / "mark").read_text() == "interrupted"


def test_a_reader_that_goes_away_ends_its_command(served: Served, tmp_path: Path) -> None:
    client = served.start("logs:sleep", "60", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == "sleeping\n"
    client.kill()
    client.wait()
    eventually((tmp_path / "mark").exists)


def test_a_change_is_finished_without_its_client(served: Served, tmp_path: Path) -> None:
    client = served.start("ps:sleep", "0.5", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == "sleeping\n"
    client.kill()
    client.wait()
    eventually((tmp_path / "mark").exists)
    assert (tmp_path / "mark").read_text() == "finished"


def test_a_change_that_minds_its_client_ends_with_it(served: Served, tmp_path: Path) -> None:
    client = served.start("ps:minding", "60", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == "sleeping\n"
    client.kill()
    client.wait()
    eventually((tmp_path / "mark").exists)
    assert (tmp_path / "mark").read_text() == "interrupted"


def test_stopping_ends_readers_and_waits_for_changes(served: Served, tmp_path: Path) -> None:
    reader = served.start("logs:sleep", "60", str(tmp_path / "reader"))
    change = served.start("ps:sleep", "1", str(tmp_path / "change"))
    for client in (reader, change):
        assert client.stdout is not None and client.stdout.readline() == "sleeping\n"
    os.kill(served.pid, signal.SIGTERM)
    os.waitpid(served.pid, 0)
    assert (tmp_path / "reader").read_text() == "interrupted"
    assert (tmp_path / "change").read_text() == "finished"
    assert (reader.wait(20), change.wait(20)) == (130, 0)


def test_a_killed_executor_is_reported_and_its_commands_go_on(served: Served, tmp_path: Path) -> None:
    client = served.start("ps:sleep", "0.5", str(tmp_path / "mark"))
    assert client.stdout is not None and client.stdout.readline() == "sleeping\n"
    os.kill(served.pid, signal.SIGKILL)
    os.waitpid(served.pid, 0)
    _, said = client.communicate(timeout=20)
    assert client.returncode == 69
    assert said.startswith(" !     The server ended before the command did\n")
    eventually((tmp_path / "mark").exists)


def test_the_supervisor_is_poked_after_a_change_only(served: Served, tmp_path: Path) -> None:
    served.paas("logs:sleep", "0", str(tmp_path / "a"))
    assert served.poked() == 0
    served.paas("ps:sleep", "0", str(tmp_path / "b"))
    eventually(served.poked)


def test_garbage_and_silence_disturb_nobody(served: Served) -> None:
    for line in (b"nonsense\n", b"{}\n", b"[]\n", b'{"argv": "x"}\n', b'{"argv": [1]}\n', b"[" * 60_000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(served.run_dir / "paas.sock"))
            connection.sendall(line)
            answer = json.loads(connection.makefile().readline())
        assert answer["exit"] == 2
        assert answer["error"].startswith("This is not a request that the server understands")
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(str(served.run_dir / "paas.sock"))
    assert served.paas("echo", "x").stdout == "x\n"
    silent.close()


def test_a_client_cannot_have_us_keep_all_its_descriptors(served: Served) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 0, 0]))]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(served.run_dir / "paas.sock"))
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                connection.sendmsg([b"x"], ancillary)
    assert len(list(Path(f"/proc/{served.pid}/fd").iterdir())) < 100


def test_nonsense_behind_a_request_disturbs_nobody(served: Served, tmp_path: Path) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(served.run_dir / "paas.sock"))
        request = {"argv": ["ps:sleep", "60", str(tmp_path / "mark")]}
        connection.sendmsg([json.dumps(request).encode() + b"\n"], ancillary)
        eventually((tmp_path / "mark.pid").exists)
        connection.sendall(b"[" * 4000 + b"\n")
        connection.sendall(b'{"signal": "INT"}\n')
        assert json.loads(connection.makefile().readline())["exit"] == 130
    assert served.paas("echo", "x").stdout == "x\n"


def test_a_request_without_streams_is_refused(served: Served) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(served.run_dir / "paas.sock"))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
        connection.sendmsg([b'{"argv": ["echo"]}\n'], ancillary)
        answer = json.loads(connection.makefile().readline())
    assert answer["error"] == "A request comes with stdin, stdout and stderr"


def test_many_commands_at_once(served: Served) -> None:
    clients = [served.start("echo", str(number)) for number in range(40)]
    assert [client.communicate(timeout=60)[0] for client in clients] == [f"{number}\n" for number in range(40)]


def test_each_command_runs_in_a_process_that_waited_for_it(served: Served) -> None:
    for _ in range(3):
        spare = served.spare()
        assert served.paas("pid").stdout == f"{spare}\n"


def test_the_client_need_not_wait_for_the_end_of_the_process(served: Served) -> None:
    spare = served.spare()
    done = served.paas("linger", "20")
    assert (done.returncode, done.stdout) == (9, "lingering\n")
    assert Path(f"/proc/{spare}").exists()
    assert list(Path(f"/proc/{spare}/fd").glob("[012]")) == []
    os.kill(spare, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{spare}").exists())
    assert served.paas("echo", "on").stdout == "on\n"


def test_a_command_that_finds_no_process_waiting_runs_all_the_same(served: Served) -> None:
    spare = served.spare()
    os.kill(spare, signal.SIGKILL)
    assert int(served.paas("pid").stdout) != spare
    assert served.paas("echo", "on").stdout == "on\n"


def test_a_rehearsal_that_goes_wrong_is_heard_by_nobody(served: Served) -> None:
    spare = served.spare()
    eventually((served.run_dir / f"rehearsed-{spare}").exists)
    done = served.paas("pid")
    assert (done.stdout, done.stderr) == (f"{spare}\n", "")


def test_long_requests_reach_the_process_that_waits(served: Served) -> None:
    spare, words = served.spare(), ["x" * 100_000] * 8
    assert served.paas("echo", *words).stdout == " ".join(words) + "\n"
    eventually(lambda: not Path(f"/proc/{spare}").exists())


def test_a_request_to_end_reaches_a_command_that_is_not_awake_yet(served: Served, tmp_path: Path) -> None:
    spare = served.spare()
    os.kill(spare, signal.SIGSTOP)
    client = served.start("logs:sleep", "60", str(tmp_path / "mark"))
    eventually(lambda: served.process_count() == 2)  # it has been given away: the next one is there
    client.kill()
    client.wait()
    eventually(lambda: _has_pending(spare, signal.SIGHUP))
    os.kill(spare, signal.SIGCONT)
    eventually(lambda: not Path(f"/proc/{spare}").exists())
    assert not (tmp_path / "mark").exists() or (tmp_path / "mark").read_text() == "interrupted"


def test_a_command_killed_before_it_is_awake_is_reported(served: Served, tmp_path: Path) -> None:
    spare = served.spare()
    os.kill(spare, signal.SIGSTOP)
    client = served.start("echo", "unheard")
    eventually(lambda: served.process_count() == 2)
    os.kill(spare, signal.SIGKILL)
    assert (client.wait(20), served.paas("echo", "on").stdout) == (137, "on\n")


def _has_pending(pid: int, number: signal.Signals) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = (int(line.split()[1], 16) for line in lines if line.startswith(("ShdPnd", "SigPnd")))
    return any(mask >> (number - 1) & 1 for mask in pending)


def test_a_stopped_executor_leaves_no_process_waiting(served: Served) -> None:
    spare = served.spare()
    os.kill(served.pid, signal.SIGTERM)
    os.waitpid(served.pid, 0)
    assert not Path(f"/proc/{spare}").exists()


def test_the_waiting_process_ends_with_a_killed_executor(served: Served) -> None:
    waiting = os.pidfd_open(served.spare())
    os.kill(served.pid, signal.SIGKILL)
    assert select.select([waiting], [], [], 15)[0]
    os.close(waiting)


def test_ctrl_c_on_a_terminal_reaches_the_command(served: Served, tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", CLIENT, "ps:sleep", "60", str(tmp_path / "mark")], served.env)
    said = b""
    while b"sleeping" not in said:
        said += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert (tmp_path / "mark").read_text() == "interrupted"
    assert re.search(rb"sleeping\r\n", said)
