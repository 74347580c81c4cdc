"""What a Dokku user does on a first day, over real git and real SSH, seen through nginx."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from e2e.samples import app
from harness import APPS, Instance, Repository, wait_until

pytestmark = pytest.mark.e2e


def processes(instance: Instance, name: str) -> dict[str, int]:
    """Return how many processes of each type run."""
    inspected = instance.paas("ps:inspect", name)
    containers = json.loads(inspected.stdout) if inspected.code == 0 else []
    types = [c["labels"]["paas.type"] for c in containers if c["status"] == "running"]
    return dict(Counter(types))


def test_a_push_of_a_flask_app_is_live(instance: Instance, app_name: str) -> None:
    files = {str(p.relative_to(APPS / "flask")): p.read_text() for p in (APPS / "flask").rglob("*") if p.is_file()}
    pushed = instance.repository(files).push(app_name).expect()
    assert "=====> Application deployed:" in pushed.stderr
    assert f"http://{app_name}.localhost" in pushed.stderr
    assert instance.get(f"{app_name}.localhost").status == 200


def test_the_second_push_replaces_the_first(instance: Instance, app_name: str) -> None:
    repository = instance.repository(app("one"))
    repository.push(app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "one"
    repository.commit(app("two"))
    repository.push(app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "two"


def test_a_dockerfile_app_is_built_and_served(instance: Instance, app_name: str) -> None:
    files = app("from a dockerfile") | {
        "Dockerfile": "FROM paas/stack:debian-12\nRUN test -x /bin/sh\nCOPY server.py /srv/\nEXPOSE 7000\n"
        'CMD ["python3", "/srv/server.py"]\n'
    }
    del files["Procfile"], files["requirements.txt"]
    instance.repository(files).push(app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "from a dockerfile"
    assert instance.get(f"{app_name}.localhost", "/env/PORT").text == "7000"


def test_scale_starts_and_stops_processes(instance: Instance, app_name: str) -> None:
    instance.repository(app("scaled")).push(app_name).expect()
    assert processes(instance, app_name) == {"web": 1}
    instance.ssh("ps:scale", app_name, "web=3", "worker=1").expect()
    assert processes(instance, app_name).get("worker") == 1
    answering = {instance.get(f"{app_name}.localhost", "/id").text for _ in range(30)}
    assert len(answering) == 3
    instance.ssh("ps:scale", app_name, "web=1", "worker=0").expect()
    assert instance.get(f"{app_name}.localhost").text == "scaled"
    wait_until("the others have ended", lambda: processes(instance, app_name) == {"web": 1})


def test_restart_replaces_every_container(instance: Instance, app_name: str) -> None:
    instance.repository(app("again")).push(app_name).expect()
    before = instance.get(f"{app_name}.localhost", "/id").text
    instance.ssh("ps:restart", app_name).expect()
    after = instance.get(f"{app_name}.localhost", "/id")
    assert after.status == 200
    assert after.text != before


def test_stop_and_start(instance: Instance, app_name: str) -> None:
    instance.repository(app("up")).push(app_name).expect()
    instance.ssh("ps:stop", app_name).expect()
    assert instance.get(f"{app_name}.localhost").status in (502, 503)
    instance.ssh("ps:start", app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "up"


@pytest.mark.parametrize(
    "value",
    ["plain", "two words", "", "quotes ' and \" and `", "$HOME $(id) \\n \\", "line one\nline two\n", "äöü ☃", "a=b=c", "-x"],
)
def test_config_values_arrive_byte_for_byte(instance: Instance, configured_app: str, value: str) -> None:
    instance.paas("config:set", configured_app, f"VALUE={value}").expect()
    assert instance.get(f"{configured_app}.localhost", "/env/VALUE").text == value
    assert instance.paas("config:get", configured_app, "VALUE").expect().stdout == value + "\n"


@pytest.fixture(scope="module")
def configured_app(instance: Instance) -> str:
    instance.repository(app("configured")).push("configured").expect()
    return "configured"


def test_config_over_ssh_restarts_with_the_new_value(instance: Instance, configured_app: str) -> None:
    instance.ssh("config:set", configured_app, "A=b", "C=d").expect()
    assert instance.get(f"{configured_app}.localhost", "/env/A").text == "b"
    assert instance.ssh("config:get", configured_app, "C").expect().stdout == "d\n"
    instance.ssh("config:unset", configured_app, "A").expect()
    assert instance.get(f"{configured_app}.localhost", "/env/A").text == "<unset>"


def test_run_shows_the_environment_and_passes_the_exit_code(instance: Instance, configured_app: str) -> None:
    instance.ssh("config:set", configured_app, "SHOWN=yes").expect()
    assert "SHOWN=yes\n" in instance.ssh("run", configured_app, "env").expect().stdout
    assert instance.ssh("run", configured_app, "sh", "-c", "'exit 7'").code == 7
    assert instance.ssh("run", configured_app, "cat", stdin="through\nand through\n").expect().stdout == "through\nand through\n"


def test_enter_runs_in_the_living_container(instance: Instance, configured_app: str) -> None:
    hostname = instance.get(f"{configured_app}.localhost", "/hostname").text
    assert instance.ssh("enter", configured_app, "web.1", "hostname").expect().stdout.strip() == hostname


def test_a_terminal_is_one(instance: Instance, configured_app: str) -> None:
    assert "not a tty" not in instance.ssh("run", configured_app, "tty", options=["-tt"]).expect().stdout


def test_logs_are_kept_across_deploys_and_can_be_followed(instance: Instance, app_name: str) -> None:
    repository = instance.repository(app("first version"))
    repository.push(app_name).expect()
    repository.commit(app("second version"))
    repository.push(app_name).expect()
    shown = instance.ssh("logs", app_name, "-n", "100").expect().stdout
    assert shown.index("listening first version") < shown.index("listening second version")
    assert f"{app_name}[web.1]: listening first version" in shown
    follower = instance.ssh_background("logs", app_name, "-t")
    try:
        time.sleep(0.5)
        assert instance.get(f"{app_name}.localhost", "/followed").status == 200
        assert follower.stdout is not None
        assert any("request /followed" in line for line in follower.stdout)
    finally:
        follower.kill()
        follower.wait()


def test_rollback_brings_back_the_code_and_the_config(instance: Instance, app_name: str) -> None:
    repository = instance.repository(app("good"))
    repository.push(app_name).expect()
    instance.ssh("config:set", app_name, "COLOR=green").expect()
    repository.commit(app("bad"))
    repository.push(app_name).expect()
    instance.ssh("config:set", app_name, "COLOR=red").expect()
    instance.ssh("ps:rollback", app_name, "2").expect()
    assert instance.get(f"{app_name}.localhost").text == "good"
    assert instance.get(f"{app_name}.localhost", "/env/COLOR").text == "green"
    releases = instance.ssh("releases:list", app_name).expect().stdout
    assert len([line for line in releases.splitlines() if "v5" in line]) == 1


def test_domains_lead_to_the_app(instance: Instance, app_name: str) -> None:
    instance.repository(app("named")).push(app_name).expect()
    instance.ssh("domains:add", app_name, "shop.example.test").expect()
    assert instance.get("shop.example.test").text == "named"
    instance.ssh("domains:remove", app_name, "shop.example.test").expect()
    assert instance.get("shop.example.test").status == 0


def test_an_unknown_host_is_closed_without_an_answer(instance: Instance, configured_app: str) -> None:
    assert instance.get("nobody.example.test").status == 0


def test_the_proxy_tells_the_app_who_asks(instance: Instance, configured_app: str) -> None:
    headers = instance.get(f"{configured_app}.localhost", "/headers").text
    assert "X-Forwarded-For: 127.0.0.1" in headers
    assert "X-Forwarded-Proto: http" in headers
    assert f"X-Forwarded-Port: {instance.http_port}" in headers


def test_an_app_can_be_cloned_back(instance: Instance, app_name: str, tmp_path: Path) -> None:
    repository = instance.repository(app("kept"))
    revision = repository.commit({"note.txt": "kept"})
    repository.push(app_name).expect()
    repository.git("clone", "-q", repository.remote(app_name), str(tmp_path / "copy")).expect()
    assert (tmp_path / "copy" / "note.txt").read_text() == "kept"
    assert repository.git("ls-remote", repository.remote(app_name), "master").expect().stdout.split()[0] == revision
    shutil.rmtree(tmp_path / "copy")


def test_a_push_from_a_shallow_clone_is_refused_with_gits_words_and_works_when_it_is_whole(
    instance: Instance, app_name: str, tmp_path: Path
) -> None:
    repository = instance.repository(app("first"))
    repository.commit(app("second"))
    repository.git("clone", "-q", "--depth=1", f"file://{repository.directory}", str(tmp_path / "ci")).expect()
    shallow = Repository(directory=tmp_path / "ci", instance=instance)
    refused = shallow.push(app_name)
    assert refused.code != 0 and "shallow update not allowed" in refused.stderr
    shallow.git("fetch", "-q", "--unshallow").expect()
    shallow.push(app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "second"
    shutil.rmtree(tmp_path / "ci")


def test_rename_and_destroy(instance: Instance, app_name: str) -> None:
    instance.repository(app("moved")).push(f"{app_name}-old").expect()
    instance.ssh("apps:rename", f"{app_name}-old", app_name).expect()
    assert instance.get(f"{app_name}.localhost").text == "moved"
    assert app_name in instance.ssh("apps:list").expect().stdout.split()
    instance.ssh("apps:destroy", app_name, "--force").expect()
    assert instance.get(f"{app_name}.localhost").status == 0
    assert instance.ssh("apps:exists", app_name).code == 20
    assert processes(instance, app_name) == {}
