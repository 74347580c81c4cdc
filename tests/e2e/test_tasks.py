"""What runs beside an app's processes: tasks of a deploy, one-off commands, cron."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import pytest

from e2e.samples import app
from harness import Instance, Repository, Result, run, wait_until

pytestmark = pytest.mark.e2e


def app_json(predeploy: str, release: str, postdeploy: str) -> dict[str, str]:
    """Return an app that answers what its predeploy task wrote, with these tasks."""
    server = app("")["server.py"].replace("TEXT, ID = '',", "TEXT, ID = open('made').read(),")
    described = {"scripts": {"dokku": {"predeploy": predeploy, "postdeploy": postdeploy}, "postdeploy": "echo only once"}}
    return {
        **app(""),
        "server.py": server,
        "Procfile": f"web: python server.py\nrelease: {release}\n",
        "app.json": "// what runs when\n" + json.dumps({**described, "env": {"KEY": {"generator": "secret"}}}),
    }


def test_tasks_of_a_deploy(instance: Instance, app_name: str) -> None:
    """Their order, what they may change, and what a failure of each leaves."""
    repository = instance.repository(app_json("printf one > made", "cat made; echo ' released'", "echo told $PAAS_RELEASE"))
    pushed = repository.push(app_name).expect()
    said = [line.removeprefix("remote: ").strip() for line in pushed.stderr.splitlines()]
    order = ["-----> Running predeploy task: printf one > made", "one released", "only once", "told v1",
             "=====> Application deployed:"]  # fmt: skip
    assert [line for line in said if line in order] == order
    assert instance.get(f"{app_name}.localhost").text == "one"
    key = instance.get(f"{app_name}.localhost", "/env/KEY").text
    assert len(bytes.fromhex(key)) == 32

    good = repository.git("rev-parse", "HEAD").stdout.strip()
    failing = "echo because; exit 3"
    for files in (app_json(failing, "true", "true"), app_json("printf two > made", failing, "true")):
        repository.commit(files)
        failed = repository.push(app_name)
        assert failed.code != 0
        assert "because" in failed.stderr
        assert "exited with status 3" in failed.stderr
        assert repository.git("ls-remote", repository.remote(app_name), "master").stdout.split()[0] == good
        assert instance.get(f"{app_name}.localhost").text == "one"

    repository.commit(app_json("printf three > made", "true", "echo because; exit 3"))
    pushed = repository.push(app_name).expect()
    assert "only once" not in pushed.stderr
    assert "WARNING: The postdeploy task" in pushed.stderr
    assert instance.get(f"{app_name}.localhost").text == "three"
    assert repository.git("ls-remote", repository.remote(app_name), "master").stdout.split()[0] != good

    instance.ssh("config:set", app_name, "A=1").expect()
    assert instance.get(f"{app_name}.localhost").text == "three"
    assert instance.get(f"{app_name}.localhost", "/env/KEY").text == key
    instance.ssh("ps:rollback", app_name, "1").expect()
    assert instance.get(f"{app_name}.localhost").text == "one"

    repository.commit({"app.json": '{\n"env": {"TOKEN": {"description": "of the mailer"}}}'})
    refused = repository.push(app_name)
    assert refused.code != 0
    assert f"config:set {app_name} TOKEN=" in refused.stderr
    repository.commit({"app.json": '{\n"cron": [{"command": "x",\n"schedule": "* * *"}]}'})
    assert "app.json:3: cron[0].schedule is wrong" in repository.push(app_name).stderr


def runs(instance: Instance, app_name: str, task: str = "") -> list[dict[str, Any]]:
    """Return the history of scheduled tasks, oldest first."""
    words = [app_name, *([task] if task else []), "--format", "json"]
    return list(reversed(json.loads(instance.ssh("cron:history", *words).expect().stdout)))


def cron_app(*tasks: dict[str, str]) -> dict[str, str]:
    return {**app("up"), "Procfile": "web: python server.py\ntidy: echo tidied\n", "app.json": json.dumps({"cron": tasks})}


def test_scheduled_tasks(instance: Instance, app_name: str) -> None:
    """They run by themselves, once for each moment, and what they did is kept."""
    tick = {"command": "echo tick $PAAS_RELEASE; echo oops >&2; exit 3", "schedule": "@every 1s"}
    slow = {"command": "trap 'exit 9' TERM; echo begun; sleep 600 & wait", "schedule": "@yearly", "concurrency_policy": "forbid"}
    replacing = {"command": "sleep 601", "schedule": "0 0 1 1 *", "concurrency_policy": "replace"}
    named = {"command": "tidy", "schedule": "@daily"}
    repository = instance.repository(cron_app(tick, slow, replacing, named))
    repository.push(app_name).expect()
    listed = json.loads(instance.ssh("cron:list", app_name, "--format", "json").expect().stdout)
    ids = {task["command"]: task["id"] for task in listed}
    ticking = ids[tick["command"]]
    done = wait_until("it ran three times", lambda: [r for r in runs(instance, app_name, ticking) if r["finished-at"]][:3][2:])
    assert (done[0]["status"], done[0]["exit-code"], done[0]["release"]) == ("failed", 3, 1)
    assert sorted(instance.ssh("cron:logs", app_name, str(done[0]["run"])).expect().stdout.splitlines()) == ["oops", "tick v1"]
    instance.ssh("cron:suspend", app_name, ticking).expect()
    wait_until("none runs any more", lambda: all(r["finished-at"] for r in runs(instance, app_name)))
    moments = [run["due-at"] for run in runs(instance, app_name, ticking)]
    assert len(moments) == len(set(moments))
    assert all(moment == int(moment) for moment in moments)
    assert "nothing to do" in instance.ssh("cron:suspend", app_name, ticking).expect().stdout

    asked = instance.ssh("cron:run", app_name, ids["tidy"]).expect()
    assert asked.stdout == "tidied\n"
    assert instance.ssh("cron:run", app_name, ticking).expect(3).stdout.splitlines()[-1] in ("oops", "tick v1")

    first = instance.ssh("cron:run", "--detach", app_name, ids[slow["command"]]).expect().stdout.strip()
    second = instance.ssh("cron:run", app_name, ids[slow["command"]]).expect(1)
    assert f"run {first} was still running" in second.stderr
    wait_until("it has begun", lambda: "begun" in instance.ssh("cron:logs", app_name, first).stdout)
    repository.commit({"note": "a deploy"})
    repository.push(app_name).expect()
    instance.ssh("cron:stop", app_name, first).expect()
    stopped = next(run for run in runs(instance, app_name) if str(run["run"]) == first)
    assert (stopped["status"], stopped["exit-code"], stopped["release"]) == ("stopped", 9, 1)

    old = instance.ssh("cron:run", "--detach", app_name, ids["sleep 601"]).expect().stdout.strip()
    instance.ssh("cron:run", "--detach", app_name, ids["sleep 601"]).expect()
    found = {str(run["run"]): run["status"] for run in runs(instance, app_name, ids["sleep 601"])}
    assert (found.pop(old), list(found.values())) == ("replaced", ["running"])
    instance.ssh("cron:stop", app_name).expect()
    instance.ssh("cron:set", app_name, "ttl-seconds", "1").expect()
    timed = instance.ssh("cron:run", app_name, ids["sleep 601"])
    assert timed.code == 143
    assert runs(instance, app_name, ids["sleep 601"])[-1]["status"] == "timed-out"
    assert instance.paas("container:ps", "--all").expect().stdout.count(f"{app_name}.cron") == 0


def test_one_offs(instance: Instance, app_name: str) -> None:
    """Attached and detached commands: exit codes, config, output, an end in time."""
    instance.repository(cron_app()).push(app_name).expect()
    asked = run([*instance.ssh_argv, "paas@127.0.0.1", f"run --env 'A=b c' {app_name} 'echo $A >&2; cat; exit 7'"], stdin="given")
    assert (asked.code, asked.stdout, asked.stderr) == (7, "given", "b c\n")
    assert instance.ssh("run", "--no-tty", app_name, "tidy").expect().stdout == "tidied\n"
    over = instance.ssh("run", "--ttl", "1", app_name, "sleep 600")
    assert over.code == 143
    assert "(--ttl)" in over.stderr

    name = instance.ssh("run:detached", "--no-tty", app_name, "'echo one; exit 4'").expect().stdout.strip()
    described = wait_until("it has ended", lambda: [c for c in oneoffs(instance, app_name) if c["status"] == "stopped"])
    assert [(c["name"], c["exit-code"]) for c in described] == [(name, 4)]
    assert instance.ssh("run:logs", app_name, name).expect().stdout == "one\n"
    instance.ssh("run:stop", app_name, name).expect()
    assert oneoffs(instance, app_name) == []
    assert instance.ssh("run:logs", app_name, name).expect().stdout == "one\n"

    brief = instance.ssh("run:detached", "--ttl-seconds", "1", app_name, "sleep 600").expect().stdout.strip()
    wait_until("it was stopped", lambda: [c["exit-code"] for c in oneoffs(instance, app_name)] == [143])
    long = instance.ssh("run:detached", app_name, "'echo up; sleep 600'").expect().stdout.strip()
    instance.ssh("run:logs", app_name, brief).expect()
    instance.ssh("run:stop", app_name, long).expect()
    instance.ssh("run:stop", app_name).expect()
    assert "nothing to do" in instance.ssh("run:stop", app_name).expect().stdout
    for words in (["run", "nobody", "true"], ["run:detached", "nobody", "true"], ["run:list", "nobody"], ["run:logs", "nobody"],
                  ["run:stop", "nobody"], ["run:stop", app_name, "gone"], ["run:logs", app_name, "gone"],
                  ["cron:list", "nobody"], ["cron:history", "nobody"], ["cron:run", app_name, "gone"], ["cron:logs", app_name],
                  ["cron:stop", app_name, "77"], ["cron:suspend", app_name, "gone"], ["cron:resume", "nobody"]):  # fmt: skip
        refused = instance.ssh(*words).expect(20)
        assert " !     " in refused.stderr
    instance.ssh("run", "-e", "A-B=1", app_name, "true").expect(1)
    instance.ssh("run", "--ttl-seconds", "0", app_name, "true").expect(2)
    instance.ssh("cron:set", app_name, "timezone", "Mars/Olympus").expect(1)


def oneoffs(instance: Instance, app_name: str) -> list[dict[str, Any]]:
    """Return the app's one-off containers."""
    return list(json.loads(instance.ssh("run:list", app_name, "--format", "json").expect().stdout))


def test_a_run_goes_on_while_the_server_is_killed_and_its_end_is_recorded(fresh_instance: Instance) -> None:
    instance = fresh_instance
    gate = {"command": "echo begun; while ! test -e /tmp/gate; do sleep 0.1; done; echo over; exit 5", "schedule": "@yearly"}
    instance.repository(cron_app(gate, {"command": "tidy", "schedule": "@every 1s"})).push("shop").expect()
    task = json.loads(instance.ssh("cron:list", "shop", "--format", "json").expect().stdout)[0]["id"]
    number = instance.ssh("cron:run", "--detach", "shop", task).expect().stdout.strip()
    instance.stop(signal.SIGKILL)
    instance.start()
    assert runs(instance, "shop", task)[0]["status"] == "running"
    instance.paas("container:exec", f"shop.cron.{number}", "touch", "/tmp/gate").expect()
    ended = wait_until("its end is recorded", lambda: [r for r in runs(instance, "shop", task) if r["finished-at"]])
    assert (ended[0]["status"], ended[0]["exit-code"]) == ("failed", 5)
    assert instance.ssh("cron:logs", "shop", number).expect().stdout == "begun\nover\n"
    since = max(run["due-at"] for run in runs(instance, "shop") if run["due-at"])
    wait_until("the others go on", lambda: any((run["due-at"] or 0) > since for run in runs(instance, "shop")))
    moments = [run["due-at"] for run in runs(instance, "shop") if run["due-at"]]
    assert len(moments) == len(set(moments))


def test_a_deploy_that_is_killed_within_a_task_is_either_whole_or_not_there(fresh_instance: Instance) -> None:
    instance = fresh_instance
    repository = instance.repository(app_json("printf one > made", "true", "true"))
    repository.push("shop").expect()
    old = branch(repository)
    repository.commit(app_json("printf two > made; sleep 601", "true", "true"))
    assert kill_push(repository, "sleep 601").code != 0
    assert (instance.get("shop.localhost").text, branch(repository)) == ("one", old)
    repository.commit(app_json("printf three > made", "sleep 602", "true"))
    assert kill_push(repository, "sleep 602").code != 0
    assert (instance.get("shop.localhost").text, branch(repository)) == ("one", old)
    new = repository.commit(app_json("printf four > made", "true", "sleep 603"))
    kill_push(repository, "sleep 603")
    assert (instance.get("shop.localhost").text, branch(repository)) == ("four", new)
    repository.commit(app_json("printf five > made", "true", "true"))
    pushed = repository.push("shop").expect()
    assert "only once" not in pushed.stderr
    assert instance.get("shop.localhost").text == "five"
    assert [task for task in ("sleep 601", "sleep 602", "sleep 603") if task_pids(instance, task)] == []
    statuses = [r["status"] for r in json.loads(instance.ssh("releases:list", "shop", "--format", "json").expect().stdout)]
    assert statuses == ["current", "superseded", "failed", "failed", "superseded"]


def test_a_process_that_dies_while_a_deploy_task_runs_is_started_again(instance: Instance, app_name: str) -> None:
    repository = instance.repository(app_json("printf one > made", "true", "true"))
    repository.push(app_name).expect()
    before = instance.get(f"{app_name}.localhost", "/id").text
    repository.commit(app_json("printf two > made", "sleep 604 || true", "true"))
    results: list[Result] = []
    pushing = threading.Thread(target=lambda: results.append(repository.push(app_name)))
    pushing.start()
    (task,) = wait_until("the task runs", lambda: [p for p in task_pids(instance, "sleep 604") if comm(p) == "sleep"])
    container = json.loads(instance.paas("ps:inspect", app_name).expect().stdout)[0]
    os.kill(int(container["pid"]), signal.SIGKILL)
    wait_until(
        "another one answers",
        lambda: (answer := instance.get(f"{app_name}.localhost", "/id")).status == 200 and answer.text != before,
    )
    assert pushing.is_alive()
    os.kill(int(task), signal.SIGKILL)
    pushing.join(120)
    results[0].expect()
    assert instance.get(f"{app_name}.localhost").text == "two"


def comm(pid: str) -> str:
    """Return the name of a process's program."""
    return run(["cat", f"/proc/{pid}/comm"]).stdout.strip()


def branch(repository: Repository) -> str:
    """Return the revision that the server has."""
    return repository.git("ls-remote", repository.remote("shop"), "master").expect().stdout.split()[0]


def kill_push(repository: Repository, task: str) -> Result:
    """Push, and kill -9 the command on the server once this task of the deploy runs. Its container is left behind."""
    instance = repository.instance
    results: list[Result] = []
    pushing = threading.Thread(target=lambda: results.append(repository.push("shop")))
    pushing.start()
    wait_until("the task runs", lambda: task_pids(instance, task))
    instance.kill_commands()
    pushing.join(60)
    assert not pushing.is_alive()
    return results[0]


def task_pids(instance: Instance, task: str) -> list[str]:
    """Return the processes of this instance's containers that run a command."""
    found = [line.split()[0] for line in run(["ps", "-eo", "pid,args"]).stdout.splitlines() if line.endswith(f" {task}")]
    return [pid for pid in found if f"paas-test-{instance.prefix}/" in run(["cat", f"/proc/{pid}/cgroup"]).stdout]
