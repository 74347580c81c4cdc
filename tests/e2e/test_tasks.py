"""What runs beside an app's processes: tasks of a deploy, one-off commands, cron."""

from __future__ import annotations

import json

import pytest

from e2e.samples import app
from harness import Instance

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
