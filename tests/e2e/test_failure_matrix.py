"""Every way in which a deploy can fail half-way, under load: nothing has changed afterwards and no visitor noticed.

The rows are the failures that other platforms leave half a change behind; a good deploy follows each, so that none of them
leaves a trap for the next.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.load import Load
from e2e.samples import SERVER, WORKER, app
from harness import Instance, Repository, Result, wait_until

pytestmark = pytest.mark.e2e

SHOP = "matrix"
SLOW_DOCKERFILE = "FROM paas/stack:debian-12\nCOPY . /app\nWORKDIR /app\nRUN sleep 3\nEXPOSE 5000\n"


def failing(what: str) -> str:
    """Return an app.json whose task of that name fails."""
    scripts = {"dokku": {what: "echo the-reason; exit 7"}}
    return json.dumps({"scripts": scripts, "env": {"MADE_UP": {"generator": "secret"}}})


def server(text: str, before: str = "") -> str:
    """Return the web process, which first runs a line of its own."""
    return f"import os, sys\n{before}\n{SERVER.format(text=text)}"


#: Name -> what is pushed (the text says "broken") and what the push says.
ROWS: dict[str, tuple[dict[str, str], str]] = {
    "the build fails": ({"requirements.txt": "no-such-distribution-anywhere==9.9.9\n"}, "no-such-distribution-anywhere"),
    "predeploy fails": ({"app.json": failing("predeploy")}, "the-reason"),
    "the release task fails": (
        {"Procfile": "web: python server.py\nworker: python worker.py\nrelease: echo the-reason; exit 7\n"}, "the-reason"),
    "no web process gets ready": ({"server.py": server("broken", "sys.exit('the-reason')")}, "the-reason"),
    "web.2 fails after web.1 has passed": (
        {"server.py": server("broken", "os.environ['DYNO'] != 'web.2' or sys.exit('the-reason')")}, "the-reason"),
    "web is ready and the worker fails": ({"worker.py": "raise SystemExit('the-reason')\n"}, "the-reason"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of an app that a failed deploy must leave as it was."""

    containers: frozenset[str]
    config: str
    formation: str
    branch: str
    release: int


def facts(repository: Repository) -> Facts:
    instance = repository.instance
    containers = json.loads(instance.paas("ps:inspect", SHOP).expect().stdout)
    releases = json.loads(instance.paas("releases:list", SHOP, "--format", "json").expect().stdout)
    return Facts(
        containers=frozenset(c["id"] for c in containers if c["status"] == "running"),
        config=instance.paas("config:export", SHOP, "--format", "json").expect().stdout,
        formation=instance.paas("ps:scale", SHOP, "--format", "json").expect().stdout,
        branch=repository.git("ls-remote", repository.remote(SHOP), "master").stdout.split()[0],
        release=next(int(release["version"]) for release in releases if release["status"] == "current"),
    )


@pytest.fixture(scope="module")
def shop(instance: Instance) -> Iterator[Repository]:
    """An app with two web processes and a worker."""
    repository = instance.repository(app("good"))
    repository.push(SHOP).expect()
    instance.ssh("ps:scale", SHOP, "web=2", "worker=1").expect()
    yield repository
    instance.paas("apps:destroy", SHOP, "--force")


@pytest.fixture
def visitors(instance: Instance, shop: Repository) -> Iterator[Load]:
    """Visitors who must notice nothing, whatever the test does."""
    settled(shop)
    with Load(instance, f"{SHOP}.localhost") as load:
        yield load
    assert load.errors == []


def settled(repository: Repository) -> Facts:
    """Return the facts once the supervisor has taken away what no longer serves."""
    wait_until("three processes are left", lambda: len(facts(repository).containers) == 3, timeout_s=60)
    return facts(repository)


def push(repository: Repository, files: dict[str, str]) -> Result:
    """Push these files, and take the commit back on the developer's side when it was refused."""
    good = repository.git("rev-parse", "HEAD").stdout.strip()
    repository.commit(files)
    pushed = repository.push(SHOP)
    if pushed.code != 0:
        repository.git("reset", "--hard", "-q", good).expect()
    return pushed


@pytest.mark.parametrize("row", ROWS)
def test_a_failed_deploy_changes_nothing_and_the_next_one_works(shop: Repository, visitors: Load, row: str) -> None:
    files, reason = ROWS[row]
    before = settled(shop)
    pushed = push(shop, {"server.py": server("broken"), "worker.py": WORKER, **files})
    assert pushed.code != 0
    assert reason in pushed.stderr
    assert settled(shop) == before
    assert "broken" not in visitors.answers
    push(shop, {"server.py": server(f"good after: {row}")}).expect()
    assert shop.instance.get(f"{SHOP}.localhost").text == f"good after: {row}"


def test_a_postdeploy_task_that_fails_does_not_take_back_what_serves(shop: Repository, visitors: Load) -> None:
    before = settled(shop)
    pushed = push(shop, {"server.py": server("with postdeploy"), "app.json": failing("postdeploy")}).expect()
    assert "the-reason" in pushed.stderr
    assert "WARNING" in pushed.stderr
    after = settled(shop)
    assert shop.instance.get(f"{SHOP}.localhost").text == "with postdeploy"
    assert after.branch == shop.git("rev-parse", "HEAD").stdout.strip()
    assert after.release == before.release + 1
    assert not after.containers & before.containers
    (shop.directory / "app.json").unlink()
    push(shop, {}).expect()


def test_a_site_that_breaks_nginx_holds_up_no_deploy_and_no_other_change_is_half_made(shop: Repository) -> None:
    instance = shop.instance
    settled(shop)
    broken = instance.etc / "nginx" / "zz-by-hand.conf"
    broken.write_text("server { listen nonsense; }\n")
    try:
        with Load(instance, f"{SHOP}.localhost") as visitors:
            push(shop, {"server.py": server("past a broken site")}).expect()
        assert visitors.errors == []
        assert instance.get(f"{SHOP}.localhost").text == "past a broken site"
        refused = instance.ssh("domains:add", SHOP, "shop.example.test")
        assert refused.code != 0
        assert "zz-by-hand.conf" in refused.output
        assert "shop.example.test" not in instance.ssh("domains:report", SHOP).stdout
    finally:
        broken.unlink()
    instance.ssh("domains:add", SHOP, "shop.example.test").expect()
    assert instance.get("shop.example.test").text == "past a broken site"
    instance.ssh("domains:remove", SHOP, "shop.example.test").expect()


def test_a_developer_who_hangs_up_gets_the_deploy_finished(shop: Repository, visitors: Load) -> None:
    processes = "web: python3 server.py\nworker: python3 worker.py\n"
    shop.commit({"server.py": server("without its developer"), "Dockerfile": SLOW_DOCKERFILE, "Procfile": processes})
    pushed = shop.git("rev-parse", "HEAD").stdout.strip()
    transcript = Path(shop.instance.base / "push.log")
    with transcript.open("wb") as log:
        env = {"GIT_SSH_COMMAND": " ".join(shop.instance.ssh_argv[:1] + shop.instance.ssh_argv[3:]), "PATH": "/usr/bin:/bin"}
        client = subprocess.Popen(
            ["git", "push", shop.remote(SHOP), "master"], cwd=shop.directory, env=env, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    wait_until("the build runs", lambda: b"sleep 3" in transcript.read_bytes(), timeout_s=60)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    wait_until(
        "the deploy is through", lambda: shop.instance.get(f"{SHOP}.localhost").text == "without its developer", timeout_s=60
    )
    wait_until("the branch has moved", lambda: facts(shop).branch == pushed)
    (shop.directory / "Dockerfile").unlink()
    push(shop, {}).expect()
