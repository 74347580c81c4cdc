"""The life of processes as a user sees it: checks that decide, several types that answer, limits, types that are gone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from e2e.samples import app
from harness import Instance, Repository, wait_until

pytestmark = pytest.mark.e2e

#: Answers who it is; /ready and /live say what the files /tmp/unready and /tmp/hung make of them.
SERVER = '''\
import http.server, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ME = os.environ["DYNO"]

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists("/tmp/hung"):
            time.sleep(60)
        is_unready = self.path == "/ready" and os.path.exists("/tmp/unready")
        payload = f"{ME} {self.path}".encode()
        self.send_response(503 if is_unready else 200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *parts):
        pass

if ME == os.environ.get("BROKEN"):
    print("the last words of", ME, flush=True)
    sys.exit(7)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()
'''
CHECKS = {
    "web": [
        {"type": "startup", "name": "says who it is", "path": "/start", "content": "/start"},
        {"type": "readiness", "path": "/ready", "attempts": 1, "wait": 1, "timeout": 1,
         "onFailure": {"command": ["sh", "-c", "echo sorry >> /tmp/notified"]}},
        {"type": "liveness", "path": "/live", "attempts": 1, "wait": 1, "timeout": 1},
    ],
    "worker": [{"type": "startup", "command": ["test", "-e", "/workspace/server.py"]}],
}
PROCFILE = "web: python server.py\nweb-admin: python server.py\nworker: python server.py\n"


@pytest.fixture(scope="module")
def shop(instance: Instance) -> Iterator[Repository]:
    """The app `shop` with two web processes, an admin site and a worker, and checks of all kinds."""
    instance.paas("apps:create", "shop").expect()
    instance.paas("ps:scale", "shop", "web=2", "web-admin=1", "worker=1").expect()
    files = {"server.py": SERVER, "Procfile": PROCFILE, "app.json": json.dumps({"healthchecks": CHECKS})}
    repository = instance.repository(app("shop", **files))
    repository.push("shop").expect()
    yield repository
    instance.paas("apps:destroy", "shop", "--force")


def status(instance: Instance) -> dict[str, str]:
    """Return process -> container of all that runs."""
    report = json.loads(instance.paas("ps:report", "shop", "--format", "json").expect().stdout)
    return {
        ".".join(key.removeprefix("status-").rsplit("-", 2)[:2]): value.rpartition(" ")[2]
        for key, value in report.items() if key.startswith("status-") and value.startswith("running")
    }  # fmt: skip


def answering(instance: Instance, host: str = "shop.localhost", path: str = "/", port: int = 0) -> set[str]:
    """Return who answers in a row of requests."""
    return {instance.get(host, path, port=port).text.partition(" ")[0] for _ in range(12)}


def test_process_types_answer_at_their_names_ports_and_paths(instance: Instance, shop: Repository) -> None:
    assert answering(instance) == {"web.1", "web.2"}
    assert answering(instance, "admin.shop.localhost") == {"web-admin.1"}
    instance.paas("proxy:route", "shop", "worker", "/jobs", "--strip-prefix").expect()
    instance.paas("ps:restart", "shop", "worker").expect()
    assert instance.get("shop.localhost", "/jobs/list").text == "worker.1 /list"
    port = str(instance.https_port)
    instance.paas("ports:add", "shop", f"http:{port}:5000", "--process", "web-admin").expect()
    assert answering(instance, port=int(port)) == {"web-admin.1"}
    instance.paas("proxy:unroute", "shop", "/jobs").expect()
    instance.paas("ports:clear", "shop", "--process", "web-admin").expect()
    assert instance.get("shop.localhost", "/jobs/list").text.startswith("web.")
    assert answering(instance, "admin.shop.localhost") == {"web-admin.1"}


def test_web_2_fails_after_web_1_passed_and_nothing_has_changed(instance: Instance, shop: Repository) -> None:
    before = status(instance)
    failed = instance.paas("config:set", "shop", "BROKEN=web.2").expect(60)
    assert "the last words of web.2" in failed.stderr
    assert "web.2 exited with status 7" in failed.stderr
    assert answering(instance) == {"web.1", "web.2"}
    assert status(instance) == before


def test_web_is_fine_but_a_worker_fails_and_nothing_has_changed(instance: Instance, shop: Repository) -> None:
    before = status(instance)
    failed = instance.paas("config:set", "shop", "BROKEN=worker.1").expect(60)
    assert "the last words of worker.1" in failed.stderr
    assert answering(instance) == {"web.1", "web.2"}
    assert status(instance) == before


def test_a_check_that_never_passes_rejects_the_push(instance: Instance, shop: Repository) -> None:
    before = status(instance)
    good = shop.git("rev-parse", "HEAD").stdout.strip()
    never = {"web": [{"name": "cart", "path": "/cart", "content": "no such thing", "attempts": 2, "wait": 0,
                      "onFailure": {"command": ["sh", "-c", "echo $DYNO gives up"], "url": "http://127.0.0.1:1/hook"}}]}
    shop.commit({"app.json": json.dumps({"healthchecks": never})})
    pushed = shop.push("shop")
    shop.git("reset", "--hard", "-q", good).expect()
    assert pushed.code != 0
    assert "failed its check 'cart' 2 times: GET /cart on port 5000 answered 200, but without 'no such thing'" in pushed.stderr
    assert re.search(r"web\.[12] gives up", pushed.stderr)  # they are checked side by side, and the first failure ends it
    assert "http://127.0.0.1 is this machine's own and not posted to" in pushed.stderr
    assert status(instance) == before


def test_checks_are_made_now_and_say_what_they_find(instance: Instance, shop: Repository) -> None:
    made = instance.ssh("checks:run", "shop").expect().stdout
    assert "web.1 says who it is: ok" in made
    assert "worker.1 startup command: ok" in made


def test_a_process_that_is_not_ready_gets_no_requests_until_it_is(instance: Instance, shop: Repository) -> None:
    instance.paas("enter", "shop", "web.1", "touch", "/tmp/unready").expect()
    wait_until("only web.2 answers", lambda: answering(instance) == {"web.2"})
    assert instance.paas("checks:report", "shop", "--checks-not-ready").expect().stdout == "web.1\n"
    assert instance.paas("enter", "shop", "web.1", "cat", "/tmp/notified").expect().stdout.splitlines() == ["sorry"]
    assert "onFailure of check of /ready (web.1)" in instance.paas("events", "shop").expect().stdout
    assert instance.paas("checks:run", "shop", "web.1").expect(60).stdout.count("answered 503") == 1
    instance.paas("enter", "shop", "web.1", "rm", "/tmp/unready").expect()
    wait_until("both answer", lambda: answering(instance) == {"web.1", "web.2"})


def test_a_process_that_hangs_is_replaced(instance: Instance, shop: Repository) -> None:
    before = status(instance)
    instance.paas("enter", "shop", "web.2", "touch", "/tmp/hung").expect()
    wait_until("web.2 is another container", lambda: status(instance).get("web.2", before["web.2"]) != before["web.2"])
    wait_until("both answer", lambda: answering(instance) == {"web.1", "web.2"})
    assert "web.2 hangs and is replaced" in instance.paas("events", "shop").expect().stdout
    assert status(instance)["web.1"] == before["web.1"]


def test_one_process_is_restarted_and_the_others_go_on(instance: Instance, shop: Repository) -> None:
    before = status(instance)
    instance.ssh("ps:restart", "shop", "web.1").expect()
    after = status(instance)
    assert after["web.1"] != before["web.1"]
    assert {name: after[name] for name in ("web.2", "worker.1")} == {name: before[name] for name in ("web.2", "worker.1")}


def test_a_limit_is_a_release_and_holds(instance: Instance, shop: Repository) -> None:
    instance.ssh("resource:limit", "shop", "--process-type", "worker", "--memory", "48m", "--pids", "50").expect()
    limits = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    shown = instance.paas("enter", "shop", "worker.1", "sh", "-c", limits).stdout
    assert str(48 << 20) in shown.split()
    refused = instance.ssh("resource:limit", "shop", "--process-type", "worker", "--memory", "4m")
    assert refused.code == 60
    assert "memory" in refused.stderr
    instance.ssh("ps:rollback", "shop").expect()
    assert str(48 << 20) not in instance.paas("enter", "shop", "worker.1", "sh", "-c", limits).stdout.split()


def test_docker_options_reach_processes_and_one_offs(instance: Instance, shop: Repository) -> None:
    instance.ssh("docker-options:add", "--process", "worker", "shop", "deploy", "--shm-size 1m --add-host db:10.9.8.7").expect()
    seen = "df -k /dev/shm | tail -1 | awk '{print $2}'; grep -c 10.9.8.7 /etc/hosts"
    assert instance.paas("enter", "shop", "worker.1", "sh", "-c", seen).stdout.split() == ["1024", "1"]
    assert instance.paas("enter", "shop", "web.1", "sh", "-c", seen).stdout.split() == ["65536", "0"]
    instance.ssh("docker-options:add", "shop", "run", "--read-only").expect()
    assert "Read-only file system" in instance.paas("run", "shop", "touch", "/etc/x").output
    instance.ssh("docker-options:clear", "shop").expect()
    refused = instance.ssh("docker-options:add", "shop", "deploy", "-v /etc:/etc").expect(13)
    assert "for root to give" in refused.stderr


def test_scaled_to_nothing_the_app_says_so(instance: Instance, shop: Repository) -> None:
    instance.ssh("ps:scale", "shop", "web=0").expect()
    answer = instance.get("shop.localhost")
    assert (answer.status, "Switched off" in answer.text) == (503, True)
    assert answering(instance, "admin.shop.localhost") == {"web-admin.1"}
    instance.ssh("ps:scale", "shop", "web=2").expect()
    assert answering(instance) == {"web.1", "web.2"}


def test_a_type_that_left_the_procfile_is_skipped_and_app_json_takes_over_the_formation(
    instance: Instance, shop: Repository
) -> None:
    formation = {"web": {"quantity": 1, "max_parallel": 1}}
    shop.commit({"Procfile": "web: python server.py\n", "app.json": json.dumps({"formation": formation})})
    pushed = shop.push("shop").expect()
    assert "Skipping worker as it is missing from the current Procfile" in pushed.stderr
    assert answering(instance) == {"web.1"}
    assert instance.get("admin.shop.localhost").status == 0
    refused = instance.ssh("ps:scale", "shop", "web=2").expect(1)
    assert "has its formation in app.json" in refused.stderr
    instance.ssh("ps:rollback", "shop").expect()
    assert answering(instance) == {"web.1", "web.2"}
