"""The rows of the failure matrix: every way in which a deploy can fail half-way, as what is pushed and what is done meanwhile.

Used by test_failure_matrix.py, one by one, and by the bench that goes through all of them under load.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.samples import SERVER, WORKER, app
from harness import Instance, Repository, Result, wait_until

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


def deployed_shop(instance: Instance) -> Repository:
    """Return an app with two web processes and a worker."""
    repository = instance.repository(app("good"))
    repository.push(SHOP).expect()
    instance.ssh("ps:scale", SHOP, "web=2", "worker=1").expect()
    return repository


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


def push_row(shop: Repository, row: str) -> None:
    """Make the failing deploy of a row, and see that it was refused for its reason."""
    files, reason = ROWS[row]
    pushed = push(shop, {"server.py": server("broken"), "worker.py": WORKER, **files})
    assert pushed.code != 0
    assert reason in pushed.stderr


def push_with_failing_postdeploy(shop: Repository, text: str) -> None:
    """Deploy with a postdeploy task that fails: the new version serves all the same, and says so."""
    pushed = push(shop, {"server.py": server(text), "app.json": failing("postdeploy")}).expect()
    assert "the-reason" in pushed.stderr
    assert "WARNING" in pushed.stderr
    (shop.directory / "app.json").unlink()


@contextlib.contextmanager
def broken_site(instance: Instance) -> Iterator[None]:
    """Have a site in nginx's configuration that nginx refuses, as an administrator may by hand."""
    broken = instance.etc / "nginx" / "zz-by-hand.conf"
    broken.write_text("server { listen nonsense; }\n")
    try:
        yield
    finally:
        broken.unlink()


def slow_push(shop: Repository, text: str) -> subprocess.Popen[bytes]:
    """Start a push whose build takes seconds; return its client, which leads a group, once the build runs."""
    processes = "web: python3 server.py\nworker: python3 worker.py\n"
    shop.commit({"server.py": server(text), "Dockerfile": SLOW_DOCKERFILE, "Procfile": processes})
    transcript = Path(shop.instance.base / "push.log")
    with transcript.open("wb") as log:
        env = {"GIT_SSH_COMMAND": " ".join(shop.instance.ssh_argv[:1] + shop.instance.ssh_argv[3:]), "PATH": "/usr/bin:/bin"}
        client = subprocess.Popen(
            ["git", "push", shop.remote(SHOP), "master"], cwd=shop.directory, env=env, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    wait_until("the build runs", lambda: b"sleep 3" in transcript.read_bytes(), timeout_s=60)
    return client


def push_and_hang_up(shop: Repository, text: str) -> None:
    """Lose the connection in the middle of a deploy, which goes on to its end."""
    client = slow_push(shop, text)
    pushed = shop.git("rev-parse", "HEAD").stdout.strip()
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    wait_until("the deploy is through", lambda: shop.instance.get(f"{SHOP}.localhost").text == text, timeout_s=60)
    wait_until("the branch has moved", lambda: facts(shop).branch == pushed)
    (shop.directory / "Dockerfile").unlink()


def push_and_kill(shop: Repository) -> None:
    """Kill -9 everything that works on a deploy, in its middle."""
    good = shop.git("rev-parse", "HEAD").stdout.strip()
    client = slow_push(shop, "broken")
    shop.instance.kill_commands()
    assert client.wait(60) != 0
    shop.git("reset", "--hard", "-q", good).expect()
