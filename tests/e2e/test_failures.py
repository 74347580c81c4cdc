"""Whatever goes wrong: a clear message with a remedy, the old release keeps serving, and the next attempt works."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from e2e.samples import SERVER, app
from harness import Instance, Repository, Result, run, wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def served(instance: Instance) -> Iterator[Repository]:
    """An app `steady` that answers "steady"; every test must leave it so."""
    repository = instance.repository(app("steady"))
    repository.push("steady").expect()
    yield repository
    instance.paas("apps:destroy", "steady", "--force")


def expect_rejected(repository: Repository, files: dict[str, str]) -> Result:
    """Push files that must be refused, see that the old release serves, and go back to the good commit."""
    good = repository.git("rev-parse", "HEAD").stdout.strip()
    repository.commit(files)
    pushed = repository.push("steady")
    repository.git("reset", "--hard", "-q", good).expect()
    assert pushed.code != 0, pushed.output
    assert "[remote rejected] master -> master (" in pushed.stderr
    assert " !     " in pushed.stderr
    assert repository.instance.get("steady.localhost").text == "steady"
    assert repository.git("ls-remote", repository.remote("steady"), "master").stdout.split()[0] == good
    return pushed


def test_a_failing_build_keeps_the_old_release(served: Repository) -> None:
    pushed = expect_rejected(served, {"requirements.txt": "no-such-distribution-anywhere==9.9.9\n"})
    assert "no-such-distribution-anywhere" in pushed.stderr


def test_a_bad_procfile_line_is_shown(served: Repository) -> None:
    pushed = expect_rejected(served, {"Procfile": "web: python server.py\n<<<<<<< HEAD\n"})
    assert "Procfile:2" in pushed.stderr


def test_a_bad_dockerfile_line_is_shown(served: Repository) -> None:
    pushed = expect_rejected(served, {"Dockerfile": "FROM paas/stack:debian-12\nCOPPY a b\n"})
    assert "Dockerfile:2" in pushed.stderr
    assert "COPPY" in pushed.stderr


def test_a_dockerfile_step_that_fails_shows_its_output(served: Repository) -> None:
    pushed = expect_rejected(served, {"Dockerfile": "FROM paas/stack:debian-12\nRUN echo the-reason && exit 3\n"})
    assert "the-reason" in pushed.stderr


def test_a_process_that_exits_at_once_shows_its_last_words(served: Repository) -> None:
    pushed = expect_rejected(served, {"server.py": "import sys\nsys.exit('I have no database')\n"})
    assert "I have no database" in pushed.stderr


def test_a_worker_that_exits_at_once_stops_the_web_switch(instance: Instance, served: Repository) -> None:
    instance.ssh("ps:scale", "steady", "worker=1").expect()
    try:
        expect_rejected(served, {"server.py": SERVER.format(text="new"), "worker.py": "raise SystemExit('no queue')\n"})
    finally:
        instance.ssh("ps:scale", "steady", "worker=0").expect()


def test_a_process_on_the_wrong_port_is_refused(instance: Instance, served: Repository) -> None:
    instance.ssh("checks:set", "steady", "timeout", "3")
    wrong = SERVER.format(text="lost").replace('int(os.environ["PORT"])', "4321")
    pushed = expect_rejected(served, {"server.py": wrong})
    assert "5000" in pushed.stderr


def test_the_next_push_after_a_failure_works(instance: Instance, served: Repository) -> None:
    expect_rejected(served, {"Procfile": "nonsense\n"})
    served.commit({"note.txt": "fine"})
    served.push("steady").expect()
    assert instance.get("steady.localhost").text == "steady"


def test_a_push_of_another_branch_does_not_deploy(instance: Instance, served: Repository) -> None:
    served.git("checkout", "-q", "-B", "feature").expect()
    served.commit({"server.py": SERVER.format(text="feature")})
    pushed = served.push("steady", "feature")
    served.git("checkout", "-q", "master").expect()
    assert "master" in pushed.stderr
    assert instance.get("steady.localhost").text == "steady"


def test_a_push_that_waited_for_its_own_ancestor_is_deployed_too(instance: Instance, app_name: str) -> None:
    """Push, correct a typo, push again before the first is through."""
    repository = instance.repository(app("first"))
    second = instance.repository({})
    second.git("pull", "-q", "--rebase=false", "--allow-unrelated-histories", str(repository.directory), "master").expect()
    newest = second.commit(app("second"))
    results: list[Result] = []
    first_push = threading.Thread(target=lambda: results.append(repository.push(app_name)))
    first_push.start()
    wait_until("the first push has its turn", lambda: instance.paas("builds:list", app_name).output.count("running"))
    second.push(app_name).expect()
    first_push.join()
    assert results[0].code == 0, results[0].output
    assert instance.get(f"{app_name}.localhost").text == "second"
    assert second.git("ls-remote", second.remote(app_name), "master").stdout.split()[0] == newest


def test_two_pushes_at_once_are_queued(instance: Instance, app_name: str) -> None:
    first, second = instance.repository(app("first")), instance.repository(app("second"))
    results: dict[str, Result] = {}

    def push(label: str, repository: Repository) -> None:
        results[label] = repository.push(app_name, "master", "--force")

    threads = [threading.Thread(target=push, args=pair) for pair in (("first", first), ("second", second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [label for label, result in results.items() if result.code == 0]
    assert accepted, results
    assert instance.get(f"{app_name}.localhost").text in accepted


@pytest.mark.parametrize("name", ["Upper", "-dash", "dot..dot", "a" * 64, "name.git", "under_score", "../up", "a b"])
def test_a_bad_app_name_is_refused_with_the_rule(instance: Instance, name: str) -> None:
    created = instance.paas("apps:create", "--", name)
    assert created.code == 1
    assert "is not a valid app name" in created.stderr
    assert instance.get("steady.localhost").status in (200, 0)


@pytest.mark.parametrize(
    "command",
    [("ps:scale", "nobody", "web=1"), ("ps:restart", "nobody"), ("config:set", "nobody", "A=b"), ("logs", "nobody"),
     ("run", "nobody", "true"), ("domains:add", "nobody", "a.test"), ("apps:destroy", "nobody", "--force"),
     ("releases:list", "nobody"), ("ps:rollback", "nobody", "1")],
)  # fmt: skip
def test_an_unknown_app_is_exit_code_20(instance: Instance, command: tuple[str, ...]) -> None:
    refused = instance.ssh(*command)
    assert refused.code == 20
    assert "nobody does not exist" in refused.output


def test_an_unknown_command_is_named(instance: Instance) -> None:
    refused = instance.ssh("apps:crate", "shop")
    assert refused.code != 0
    assert "apps:create" in refused.output


def test_no_shell_and_no_foreign_key(instance: Instance) -> None:
    assert instance.ssh("bash", "-c", "id").code != 0
    assert instance.ssh("git-upload-pack", "'../../etc'").code != 0
    stranger = instance.base / "stranger"
    if not stranger.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger]).expect()
    argv = [str(stranger) if word == str(instance.key) else word for word in instance.ssh_argv]
    assert run([*argv, "paas@127.0.0.1", "apps:list"]).code == 255


@pytest.mark.parametrize("command", ["ssh-keys:list", "container:ps", "doctor", "image:list"])
def test_users_may_not_administer_the_machine(instance: Instance, command: str) -> None:
    assert instance.ssh(command).code == 13


@pytest.mark.parametrize("scale", ["web", "web=", "web=-1", "web=many", "=3", "web=100000"])
def test_a_bad_scale_changes_nothing(instance: Instance, served: Repository, scale: str) -> None:
    refused = instance.ssh("ps:scale", "steady", scale)
    assert refused.code != 0
    assert " !     " in refused.stderr
    assert instance.get("steady.localhost").text == "steady"


def test_a_bad_nginx_property_is_refused(instance: Instance, served: Repository) -> None:
    assert instance.ssh("nginx:set", "steady", "client-max-body-size", "'many;bytes'").code != 0
    instance.paas("nginx:validate-config").expect()
    assert instance.get("steady.localhost").text == "steady"
