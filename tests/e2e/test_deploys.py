"""Deploys that wait, are overtaken, cancelled or left alone by the one who pushed: what each of them is told, and what stays."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from e2e.samples import app
from harness import Instance, Repository, openssh, run, wait_until

pytestmark = pytest.mark.e2e

#: A build that ends only when it is ended.
SLOW = "FROM paas/stack:debian-12\nRUN echo building {stamp} && exec sleep 3600.{stamp}\n"
PATIENT = "FROM paas/stack:debian-12\nCOPY . /app\nWORKDIR /app\nRUN sleep 2\nEXPOSE 5000\n"
#: Tells the builds of these tests from each other, and from those of another run.
STAMPS = itertools.count(os.getpid() * 100)


def pushing(repository: Repository, name: str, *options: str, url: str = "", ssh: str = "") -> subprocess.Popen[str]:
    """Start a push; its output is in stdout. The process leads a group, which `hang_up` ends like a lost connection."""
    instance = repository.instance
    env = {**os.environ, "GIT_SSH_COMMAND": ssh or " ".join(instance.ssh_argv), "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.Popen(
        ["git", "push", "--force", *options, url or repository.remote(name), "master"], cwd=repository.directory, env=env,
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def hang_up(push: subprocess.Popen[str]) -> None:
    os.killpg(push.pid, 9)
    push.wait()


def deploys(instance: Instance, name: str) -> list[dict[str, object]]:
    """Return the deploys of an app, newest first."""
    return list(json.loads(instance.paas("builds:list", name, "--format", "json").expect().stdout))


def statuses(instance: Instance, name: str) -> list[object]:
    return [deploy["status"] for deploy in deploys(instance, name)]


def built_slowly(stamp: int) -> dict[str, str]:
    return app("never", Dockerfile=SLOW.format(stamp=stamp))


def is_building(instance: Instance, name: str, stamp: int) -> bool:
    return f"building {stamp}" in instance.ssh("builds:output", name).stdout and bool(sleepers(stamp))


def sleepers(stamp: int) -> list[str]:
    """Return the processes of a slow build."""
    return [line for line in run(["ps", "-eo", "args"]).stdout.splitlines() if line == f"sleep 3600.{stamp}"]


def test_cancelling_ends_the_build_with_all_it_started_and_says_who_did_it(instance: Instance, app_name: str) -> None:
    stamp = next(STAMPS)
    repository = instance.repository(app("old"))
    repository.push(app_name).expect()
    good = repository.git("rev-parse", "HEAD").stdout.strip()
    assert instance.ssh("builds:cancel", app_name).code == 1  # nothing runs
    repository.commit(built_slowly(stamp))
    push = pushing(repository, app_name)
    wait_until("it is recorded", lambda: statuses(instance, app_name)[0] == "running")
    log = instance.ssh_background("builds:output", app_name, "current", "--follow")
    wait_until("it is built", lambda: is_building(instance, app_name, stamp), timeout_s=90)
    assert "canceled" in instance.ssh("builds:cancel", app_name).expect().stdout
    said, _ = push.communicate(timeout=90)
    assert push.returncode != 0
    assert f"The deploy of {app_name} was canceled by tester" in said
    followed, _ = log.communicate(timeout=90)
    assert "canceled by tester" in followed
    last = deploys(instance, app_name)[0]
    assert (last["status"], last["canceled-by"], last["pid"]) == ("canceled", "tester", None)
    assert sleepers(stamp) == []
    assert "nothing is left over" in instance.paas("doctor", "--verbose").stdout
    assert instance.get(f"{app_name}.localhost").text == "old"
    assert repository.git("ls-remote", repository.remote(app_name), "master").stdout.split()[0] == good
    (repository.directory / "Dockerfile").unlink()
    repository.commit(app("new"))
    repository.push(app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "new"


def test_the_newest_of_several_pushes_that_wait_wins_and_a_lock_stops_all(instance: Instance, app_name: str) -> None:
    slow = instance.repository(built_slowly(next(STAMPS)))
    first = pushing(slow, app_name)
    wait_until("the first is deployed", lambda: instance.paas("builds:list", app_name).output.count("running"))
    second = pushing(instance.repository(app("second")), app_name)
    wait_until("the second waits", lambda: instance.paas("builds:report", app_name, "--builds-waiting").stdout == "1\n")
    third = pushing(instance.repository(app("third")), app_name)
    told, _ = second.communicate(timeout=90)
    assert second.returncode != 0
    assert "Waiting: " in told and "is busy with git push by tester since" in told
    assert "Superseded: git push by tester came while this push waited" in told
    (superseded,) = json.loads(instance.ssh("builds:list", app_name, "--status", "superseded", "--format", "json").stdout)
    assert (superseded["actor"], superseded["canceled-by"]) == ("tester", "git push by tester")
    assert "Superseded: " in instance.ssh("builds:output", app_name, str(superseded["number"])).expect().stdout
    instance.ssh("builds:cancel", app_name).expect()
    assert first.wait(60) != 0
    third.communicate(timeout=120)
    assert third.returncode == 0
    assert instance.get(f"{app_name}.localhost").text == "third"
    instance.ssh("apps:lock", app_name).expect()
    assert instance.ssh("apps:report", app_name, "--app-locked").stdout == "true\n"
    assert instance.ssh("apps:locked", app_name).code == 0
    for command in (("ps:rebuild", app_name), ("ps:rollback", app_name), ("config:set", app_name, "A=b")):
        assert f"Deploys of {app_name} are locked" in instance.ssh(*command).expect(1).stderr
    locked = instance.repository(app("locked")).push(app_name, "master", "--force")
    assert f"Deploys of {app_name} are locked" in locked.expect(1).stderr
    instance.ssh("config:set", "--no-restart", app_name, "A=b").expect()
    instance.ssh("ps:restart", app_name).expect()
    instance.ssh("apps:unlock", app_name).expect()
    assert instance.ssh("apps:locked", app_name).code == 1
    instance.ssh("config:set", app_name, "A=b").expect()
    assert instance.get(f"{app_name}.localhost", "/env/A").text == "b"


def test_a_commit_that_is_amended_while_it_is_deployed_is_served_in_its_place(instance: Instance, app_name: str) -> None:
    repository = instance.repository(app("first"))
    repository.push(app_name).expect()
    repository.commit(app("hasty", Dockerfile=PATIENT, Procfile="web: python3 server.py\n"))
    hasty = pushing(repository, app_name)
    wait_until("it is built", lambda: "RUN sleep" in instance.ssh("builds:output", app_name).stdout, timeout_s=90)
    repository.write({"server.py": app("amended")["server.py"]})
    repository.git("commit", "-q", "-a", "--amend", "-m", "a better change").expect()
    repository.push(app_name).expect()
    assert hasty.wait(60) == 0
    assert statuses(instance, app_name)[:2] == ["succeeded", "succeeded"]
    assert instance.get(f"{app_name}.localhost").text == "amended"


@pytest.fixture(scope="module")
def openssh_port(instance: Instance) -> Iterator[int]:
    with openssh(instance) as port:
        yield port


@pytest.mark.parametrize("front", ["gateway", "openssh"])
def test_hanging_up_does_not_stop_a_deploy_unless_asked(
    instance: Instance, app_name: str, front: str, openssh_port: int
) -> None:
    port = instance.ssh_port if front == "gateway" else openssh_port
    ssh = " ".join(str(port) if word == str(instance.ssh_port) else word for word in instance.ssh_argv)
    url = f"ssh://paas@127.0.0.1:{port}/{app_name}"
    repository = instance.repository(app("left alone"))
    revision, stamp = repository.git("rev-parse", "HEAD").stdout.strip(), next(STAMPS)
    push = pushing(repository, app_name, url=url, ssh=ssh)
    wait_until("it is deployed", lambda: "running" in instance.paas("builds:list", app_name).output)
    hang_up(push)
    wait_until("it has ended", lambda: statuses(instance, app_name)[:1] == ["succeeded"], timeout_s=90)
    assert instance.get(f"{app_name}.localhost").text == "left alone"
    wait_until(
        "its branch has moved",
        lambda: repository.git("ls-remote", repository.remote(app_name), "master").stdout.split()[:1] == [revision],
    )
    repository.commit(built_slowly(stamp))
    push = pushing(repository, app_name, "-o", "cancel-on-disconnect", url=url, ssh=ssh)
    wait_until("it is built", lambda: is_building(instance, app_name, stamp), timeout_s=90)
    hang_up(push)
    wait_until("it has ended", lambda: statuses(instance, app_name)[0] == "canceled", timeout_s=90)
    assert deploys(instance, app_name)[0]["canceled-by"] == "tester"
    assert instance.get(f"{app_name}.localhost").text == "left alone"
    assert repository.git("ls-remote", repository.remote(app_name), "master").stdout.split()[0] == revision


def test_a_push_option_that_is_none_is_refused(instance: Instance, app_name: str) -> None:
    refused = instance.repository(app("odd")).push(app_name, "master", "-o", "fast")
    assert "There is no push option 'fast'" in refused.expect(1).stderr
    assert "git push -o cancel-on-disconnect" in refused.stderr


def test_a_trace_tells_where_the_time_went(instance: Instance, app_name: str, openssh_port: int) -> None:
    repository = instance.repository(app("traced"))
    pushed = repository.push(app_name, "master", "-o", "trace").expect().stderr
    lines = [line.removeprefix("remote: ").rstrip() for line in pushed.splitlines() if " ms  " in line]
    assert_adds_up(lines)
    wanted = (
        "receive", "checkout", "build with", "  detect", "  build", "    bin/build of python", "append the release",
        "start and check", "  web.1",
        "    create the container", "    start it", "    until it is ready", "switch the routes", "record the release", "total",
    )  # fmt: skip
    found = iter(line.partition(" ms  ")[2] for line in lines)
    assert [name for name in wanted if not any(line.startswith(name) for line in found)] == []  # in this order
    assert "retire" in pushed
    sent = ("-o", "SetEnv=PAAS_TRACE=1")
    assert_adds_up(instance.ssh("ps:scale", app_name, "web=2", options=sent).expect().stderr.splitlines())
    by_openssh = run([*(str(openssh_port) if w == str(instance.ssh_port) else w for w in instance.ssh_argv), *sent,
                      "paas@127.0.0.1", "ps:scale", app_name, "web=1"])  # fmt: skip
    assert_adds_up(by_openssh.expect().stderr.splitlines())
    assert " ms  " not in instance.ssh("ps:scale", app_name, "web=2").expect().stderr


def assert_adds_up(lines: list[str]) -> None:
    """The lines of the outermost steps and the total say the same."""
    rows = [line.partition(" ms  ") for line in lines if " ms  " in line]
    outer = [float(number) for number, _, name in rows if not name.startswith(" ")]
    assert abs(sum(outer[:-1]) - outer[-1]) <= 0.1 * len(outer), lines
