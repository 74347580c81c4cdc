"""Containers by hand, as somebody who comes from Docker uses them: the command line, and what the server sees to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import PAAS, STACK_IMAGES, Instance, wait_until

pytestmark = pytest.mark.e2e

IMAGE = "paas/stack:debian-12"


@pytest.fixture
def clean(instance: Instance) -> Iterator[Instance]:
    yield instance
    for container in instance.paas("container:ps", "-a", "-q").stdout.split():
        instance.paas("container:rm", "-f", container).expect()


def inspect(instance: Instance, container: str) -> Any:
    said = instance.paas("container:inspect", container)
    return json.loads(said.stdout)[0] if said.code == 0 else None


def test_a_container_of_ones_own(clean: Instance) -> None:
    paas = clean.paas
    assert STACK_IMAGES.is_dir()
    first = paas(
        "container:run", "-d", "--name", "one", "-e", "A=1", "-v", "data:/data", "--tmpfs", "/scratch:size=1m", "-w", "/data",
        "-u", "www-data", "-m", "128m", "--cpus", "0.5", "--pids-limit", "30", "--label", "team=x", "-h", "box", "--stop-timeout",
        "0", "-p", "127.0.0.1::80", IMAGE, "sh", "-c", "id -un; pwd; hostname; echo $A; df /scratch | tail -1; exec sleep 600",
    ).expect().stdout.strip()  # fmt: skip

    def logged() -> list[str]:
        return paas("container:logs", "one").stdout.splitlines()

    said = wait_until("it has begun", lambda: lines if len(lines := logged()) == 5 else None)
    assert said[:4] == ["www-data", "/data", "box", "1"] and " 1024 " in said[4]
    found = inspect(clean, "one")
    assert (found["id"], found["labels"], found["user"], found["limits"]["pids"]) == (first, {"team": "x"}, "www-data", 30)
    assert re.fullmatch(r"80/tcp -> 127\.0\.0\.1:[23]\d{4}\n", paas("container:port", "one").stdout)
    assert "sleep 600" in paas("container:top", "one").expect().stdout
    usage = json.loads(paas("container:stats", "--no-stream", "--format", "json", "one").expect().stdout)[0]
    assert (usage["memory-limit-bytes"], usage["pids"], usage["pids-limit"]) == (128 << 20, 2, 30)
    assert "128 MB" not in paas("container:stats", "--no-stream").expect().stdout.splitlines()[0]
    paas("container:update", "-m", "64m", "--pids-limit", "20", "one").expect()
    assert paas("container:exec", "-u", "0", "-e", "B=2", "one", "sh", "-c", "id -u; echo $A $B").expect().stdout == "0\n1 2\n"
    assert paas("container:exec", "one", "sh", "-c", "exit 9").code == 9
    paas("container:rename", "one", "two").expect()
    paas("container:restart", "two").expect()
    again = inspect(clean, "two")
    assert (again["address"], again["ports"], again["limits"]["memory-bytes"]) == (found["address"], found["ports"], 64 << 20)
    assert paas("container:volumes").stdout.split()[-2:] == ["data", first]
    assert "is used by" in paas("container:volume-rm", "data").expect(1).stderr
    paas("container:kill", "-s", "KILL", "two").expect()
    assert paas("container:wait", "two").stdout == "137\n"
    assert "Exited (137, SIGKILL)" in paas("container:ps", "-a").expect().stdout
    paas("container:rm", "two").expect()
    paas("container:volume-rm", "data").expect()
    assert paas("container:volumes").expect().stdout.split() == ["VOLUME", "CONTAINERS"]


def test_what_few_containers_need_is_there_inside(clean: Instance) -> None:
    words = (
        "--add-host", "db:10.0.0.5", "--dns", "10.0.0.53", "--dns-search", "example.com", "--shm-size", "1m",
        "--ulimit", "nofile=100", "--sysctl", "net.core.somaxconn=99", "--sysctl", "kernel.shmmax=12345", "-u", "www-data",
        "--group-add", "audio", "--group-add", "777", "--cap-drop", "ALL", "--cap-add", "CHOWN",
    )  # fmt: skip
    script = """
        grep db /etc/hosts; cat /etc/resolv.conf; df --output=size /dev/shm | tail -1; ulimit -n
        cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax; id -G; grep CapBnd /proc/self/status
    """
    said = clean.paas("container:run", "--rm=true", *words, IMAGE, "sh", "-c", script).expect().stdout.split()
    assert said == ["10.0.0.5", "db", "search", "example.com", "nameserver", "10.0.0.53", "1024", "100", "99", "12345",
                    "33", "29", "777", "CapBnd:", f"{1:016x}"]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("no-such-program",), 127), (("/etc/passwd",), 126), (("sh", "-c", "exit 255"), 255), (("sh", "-c", "kill -9 $$"), 137),
    ],
)  # fmt: skip
def test_exit_codes_are_a_shells(clean: Instance, words: tuple[str, ...], code: int) -> None:
    clean.paas("container:run", "-d", "--name", "box", "--stop-timeout", "0", IMAGE, "sleep", "600").expect()
    for said in (clean.paas("container:run", "--rm", IMAGE, *words), clean.paas("container:exec", "box", *words)):
        assert said.expect(code).stdout == "" and "conmon" not in said.stderr
    if code < 128:
        said = clean.paas("container:run", "--rm", "--no-init", IMAGE, *words).expect(code)
        assert f"'{words[0]}' can not be run in the container" in said.stderr and "conmon" not in said.stderr
    assert clean.paas("container:exec", "-w", "/no/such", "box", "true").expect(126).stdout == ""


@pytest.mark.parametrize("kept", ["--rm", "--name=kept"])
@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "int"), (signal.SIGTERM, "term")])
def test_a_signal_to_run_is_one_to_the_container(clean: Instance, kept: str, number: int, said: str) -> None:
    script = "trap 'echo int; exit 4' INT; trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.05; done"
    words = [PAAS, "container:run", kept, IMAGE, "sh", "-c", script]
    with subprocess.Popen(words, env={**os.environ, **clean.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"up\n"
        running.send_signal(number)
        assert running.communicate(timeout=30)[0].decode() == f"{said}\n"
    assert running.returncode == 4
    assert clean.paas("container:ps", "-q").stdout == ""


def test_a_container_whose_output_nobody_reads_any_more_is_left(clean: Instance) -> None:
    words = [PAAS, "container:run", "--name", "loud", IMAGE, "yes"]
    with subprocess.Popen(words, env={**os.environ, **clean.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"y\n"
        running.stdout.close()
        assert running.wait(timeout=30) == 0
    assert inspect(clean, "loud")["status"] == "running"


def test_a_variable_without_a_value_has_the_callers(clean: Instance) -> None:
    env = {**os.environ, **clean.env, "GIVEN": "two words", "HIDDEN": "x"}
    words = [PAAS, "container:run", "--rm", "-e", "GIVEN", "-e", "ABSENT", IMAGE, "env"]
    said = subprocess.run(words, env=env, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    assert "GIVEN=two words" in said and "ABSENT" not in said and "HIDDEN" not in said


def test_nothing_is_skipped_in_a_log_that_reached_its_limit(clean: Instance) -> None:
    burst = 180_000  # lines of some 55 bytes: one log of 10 MB is full in each burst, at most
    script = f"for i in 0 1 2 3; do seq $((i * {burst} + 1)) $((i * {burst} + {burst})); sleep 0.5; done"
    clean.paas("container:run", "-d", "--name", "flood", IMAGE, "sh", "-c", script).expect()
    assert clean.paas("container:wait", "flood").expect().stdout == "0\n"
    shown = [int(line) for line in clean.paas("container:logs", "flood").expect().stdout.split()]
    assert shown == list(range(shown[0], 4 * burst + 1))
    assert burst < len(shown) < 3 * burst
    assert clean.paas("container:logs", "-n", str(burst + 5), "flood").stdout.split()[0] == str(3 * burst - 4)
    log = Path(inspect(clean, "flood")["log"])
    assert len({part.stat().st_ino for part in log.parent.glob(f"{log.name}*")}) == 2


def test_a_log_shows_all_of_what_was_written(clean: Instance) -> None:
    clean.paas("container:run", "-d", "--name", "bar", IMAGE, "printf", "10%%\\r20%%\\nno end").expect()
    clean.paas("container:wait", "bar").expect()
    for words in ((), ("-f",), ("--tail", "2"), ("--since", "1h")):
        shown = clean.paas("container:logs", *words, "bar").expect().stdout  # where a carriage return is read as a new line
        assert shown == "10%\n20%\nno end\n"
    assert clean.paas("container:logs", "--until", "1h", "bar").expect().stdout == ""


def test_files_go_in_and_come_out(clean: Instance, tmp_path: Path) -> None:
    paas = clean.paas
    site, out = tmp_path / "site", tmp_path / "out"
    site.mkdir()
    (site / "index.html").write_text("hello")
    os.chown(site / "index.html", 33, 33)
    paas("container:run", "-d", "--name", "box", "--stop-timeout", "0", IMAGE, "sleep", "600").expect()
    assert paas("container:cp", str(site), "box:/srv").expect().stdout == "Copied 5 B to box:/srv\n"
    paas("container:cp", "-a", f"{site}/.", "box:srv/kept").expect()
    look = ("container:exec", "box", "stat", "-c", "%n %U", "/srv/site/index.html", "/srv/kept/index.html")
    assert paas(*look).expect().stdout == "/srv/site/index.html root\n/srv/kept/index.html www-data\n"
    tar = subprocess.run(["tar", "-cz", "-C", site, "."], check=True, capture_output=True).stdout.decode(errors="surrogateescape")
    paas("container:cp", "-", "box:/opt", stdin=tar).expect()
    paas("container:stop", "box").expect()
    paas("container:cp", "box:/opt/index.html", str(out)).expect()
    assert out.read_text() == "hello" and out.stat().st_uid == 0
    listed = subprocess.run(["tar", "-t"], input=paas("container:cp", "box:/opt", "-").expect().stdout, text=True,
                            capture_output=True, check=True).stdout
    assert listed == "opt/\nopt/index.html\n"
    refused = ((("box:/opt", "other:/opt"), "between"), (("here", "there"), "Neither"), (("box:/no", "."), "no '/no'"))
    for words, problem in refused:
        assert problem in paas("container:cp", *words).expect(1).stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("container:run", "--no-such-flag", IMAGE), "no-such-flag"),
        (("container:run", "no-such-image", "true"), "no-such-image"),
        (("container:run", "--rm", "--restart", "always", IMAGE, "true"), "contradict"),
        (("container:run", "--privileged", IMAGE, "true"), "not possible"),
        (("container:run", "--rm", "--group-add", "no-such-group", IMAGE, "true"), "no-such-group"),
        (("container:run", "--rm", "-u", "nobody-here", IMAGE, "true"), "nobody-here"),
        (("container:run", "--rm", "-v", "relative:inside", IMAGE, "true"), "relative:inside"),
        (("container:run", "--rm", "--stop-signal", "SIGNOPE", IMAGE, "true"), "SIGNOPE"),
        (("container:kill", "nothing-here"), "nothing-here"),
        (("container:update", "-m", "lots", "nothing-here"), "nothing-here"),
    ],
)
def test_what_can_not_be_is_refused_and_leaves_nothing(clean: Instance, words: tuple[str, ...], problem: str) -> None:
    said = clean.paas(*words)
    assert said.code != 0 and problem in said.stderr and "defect" not in said.stderr
    assert clean.paas("container:ps", "-a", "-q").stdout == ""


def test_the_server_sees_to_restarts_removal_and_health(clean: Instance) -> None:
    paas = clean.paas
    always = ("--restart", "always", "--stop-timeout", "0")
    paas("container:run", "-d", "--name", "restless", *always, IMAGE, "sleep", "600").expect()
    paas("container:run", "-d", "--name", "passing", "--rm", IMAGE, "sh", "-c", "sleep 0.2; exit 3").expect()
    paas(
        "container:run", "-d", "--name", "checked", "--health-cmd", "test -f /tmp/well", "--health-interval", "200ms",
        "--health-retries", "2", "--stop-timeout", "0", IMAGE, "sleep", "600",
    ).expect()  # fmt: skip
    pid = inspect(clean, "restless")["pid"]
    os.kill(pid, 9)
    wait_until("it runs again", lambda: inspect(clean, "restless")["pid"] not in (0, pid))
    wait_until("it is unhealthy", lambda: inspect(clean, "checked")["health"]["status"] == "unhealthy")
    assert "(unhealthy)" in paas("container:ps").stdout
    paas("container:exec", "checked", "touch", "/tmp/well").expect()
    wait_until("it is well", lambda: inspect(clean, "checked")["health"]["status"] == "healthy")
    wait_until("it is removed", lambda: inspect(clean, "passing") is None)
    paas("container:stop", "restless").expect()
    last = inspect(clean, "checked")["health"]["results"][-1]["at"]
    wait_until("the server has looked", lambda: inspect(clean, "checked")["health"]["results"][-1]["at"] > last + 0.5)
    assert inspect(clean, "restless")["status"] == "stopped"  # what is stopped by hand stays stopped
