"""`kill -9` of anything of ours at any moment: apps keep answering, and the server finds its way back."""

from __future__ import annotations

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.samples import app
from harness import Instance, Result, run, wait_until

pytestmark = pytest.mark.e2e


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def server_pid(instance: Instance) -> int:
    assert instance.server is not None
    return instance.server.pid


def test_each_child_of_the_server_may_die(fresh_instance: Instance) -> None:
    instance = fresh_instance
    instance.repository(app("alive")).push("alive").expect()
    for child in children(server_pid(instance)):
        os.kill(child, signal.SIGKILL)
        assert instance.get("alive.localhost").text == "alive"
        wait_until("commands work again", lambda: instance.ssh("apps:list").code == 0)
    assert instance.server is not None and instance.server.poll() is None


def test_the_server_may_die_and_containers_serve_on(fresh_instance: Instance) -> None:
    instance = fresh_instance
    repository = instance.repository(app("before"))
    repository.push("alive").expect()
    container = instance.get("alive.localhost", "/id").text
    assert instance.server is not None
    orphans = children(instance.server.pid)
    instance.stop(signal.SIGKILL)
    assert instance.get("alive.localhost").text == "before"
    wait_until("its children have ended, too", lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))
    instance.start()
    assert instance.get("alive.localhost", "/id").text == container
    repository.commit(app("after"))
    repository.push("alive").expect()
    assert instance.get("alive.localhost").text == "after"


def test_a_clean_stop_leaves_apps_serving(fresh_instance: Instance) -> None:
    instance = fresh_instance
    instance.repository(app("alive")).push("alive").expect()
    instance.stop()
    assert instance.get("alive.localhost").text == "alive"
    instance.start()
    assert instance.get("alive.localhost").text == "alive"


def test_a_process_that_dies_is_started_again(instance: Instance, app_name: str) -> None:
    instance.repository(app("phoenix")).push(app_name).expect()
    before = instance.get(f"{app_name}.localhost", "/id").text
    pid = main_pid(instance, app_name)
    os.kill(pid, signal.SIGKILL)
    answer = wait_until(
        "another one answers",
        lambda: (a := instance.get(f"{app_name}.localhost", "/id")).status == 200 and a.text != before and a,
    )
    assert answer.status == 200


def test_an_app_whose_output_nobody_reads_any_more_is_replaced_before_it_fails(instance: Instance, app_name: str) -> None:
    instance.repository(app("mute")).push(app_name).expect()
    before = instance.get(f"{app_name}.localhost", "/id").text
    conmon = Path(f"/proc/{main_pid(instance, app_name)}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(conmon), signal.SIGKILL)
    instance.paas("apps:create", f"{app_name}-other").expect()  # the supervisor looks at all apps then, else every 20 s
    wait_until("another one answers", lambda: instance.get(f"{app_name}.localhost", "/id").text not in ("", before))
    wait_until("the old one is gone", lambda: instance.paas("ps:report", app_name).stdout.count("running (") == 1)


def main_pid(instance: Instance, name: str) -> int:
    """Return the host pid of the app's web process."""
    containers = json.loads(instance.paas("ps:inspect", name).expect().stdout)
    return int(next(c["pid"] for c in containers if c["labels"]["paas.type"] == "web" and c["pid"]))


def test_routes_are_right_after_nginx_was_killed(fresh_instance: Instance) -> None:
    instance = fresh_instance
    instance.repository(app("routed")).push("routed").expect()
    master = int((instance.run_dir / "nginx.pid").read_text())
    workers = children(master)
    for pid in (master, *workers):
        os.kill(pid, signal.SIGKILL)
    wait_until("nginx serves the route again", lambda: instance.get("routed.localhost").text == "routed", timeout_s=60)
    # Only its master: the workers serve on, but nothing can be told to them.
    master = int((instance.run_dir / "nginx.pid").read_text())
    os.kill(master, signal.SIGKILL)
    instance.paas("apps:create", "poke").expect()  # the supervisor looks around then, else every 20 s
    wait_until("nginx has a master again", lambda: int((instance.run_dir / "nginx.pid").read_text()) != master, timeout_s=60)
    wait_until("it serves the route", lambda: instance.get("routed.localhost").text == "routed")


def test_apps_are_back_after_the_machine_restarted(fresh_instance: Instance) -> None:
    instance = fresh_instance
    instance.repository(app("back")).push("shop").expect()
    before = instance.get("shop.localhost", "/id").text
    instance.shut_down(main_pid(instance, "shop"))
    assert instance.get("shop.localhost").status == 0
    instance.start()
    wait_until("the app is back", lambda: instance.get("shop.localhost").text == "back", timeout_s=60)
    assert instance.get("shop.localhost", "/id").text != before


def test_a_killed_push_leaves_the_old_release_and_the_next_push_works(fresh_instance: Instance) -> None:
    instance = fresh_instance
    repository = instance.repository(app("old"))
    repository.push("shop").expect()
    repository.commit(app("never", **{"Dockerfile": "FROM paas/stack:debian-12\nRUN sleep 600\n"}))
    results: list[Result] = []
    pushing = threading.Thread(target=lambda: results.append(repository.push("shop")))
    pushing.start()
    wait_until("the build runs", lambda: not instance_has_no_build(instance))
    executor = [pid for pid in children(server_pid(instance)) if children(pid)]
    for pid in executor:
        for child in children(pid):
            os.kill(child, signal.SIGKILL)
    pushing.join(60)
    assert not pushing.is_alive()
    assert results[0].code != 0
    assert instance.get("shop.localhost").text == "old"
    wait_until("the build has ended", lambda: instance_has_no_build(instance), timeout_s=60)
    (repository.directory / "Dockerfile").unlink()
    repository.commit(app("next"))
    repository.push("shop").expect()
    assert instance.get("shop.localhost").text == "next"


def instance_has_no_build(instance: Instance) -> bool:
    """Say whether nothing of this instance's cgroup runs the endless build step."""
    for line in run(["ps", "-eo", "pid,args"]).stdout.splitlines():
        pid, _, args = line.strip().partition(" ")
        if args.endswith("sleep 600"):
            try:
                if f"paas-test-{instance.prefix}/" in Path(f"/proc/{pid}/cgroup").read_text():
                    return False
            except OSError:
                continue  # ended while we looked
    return True


def test_what_a_deploy_stopped_first_comes_back_when_the_deploy_is_killed(fresh_instance: Instance) -> None:
    instance = fresh_instance
    repository = instance.repository(app("alive"))
    repository.push("alive").expect()
    instance.ssh("ps:scale", "alive", "worker=1").expect()
    instance.ssh("ps:set", "alive", "restart-policy", "no").expect()
    instance.ssh("checks:disable", "alive", "web").expect()
    never = {"healthchecks": {"worker": [{"command": ["false"], "attempts": 60, "wait": 1}]}}
    repository.commit(app("never", **{"app.json": json.dumps(never)}))
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(repository.push, "alive")
        wait_until("the new worker is checked", lambda: "Attempting 1 check" in instance.ssh("builds:output", "alive").stdout)
        assert instance.get("alive.localhost").status != 200
        instance.kill_commands()
        assert push.result().code != 0
    wait_until("the old process runs again", lambda: instance.get("alive.localhost").text == "alive", timeout_s=30)
