"""`docker-options:*` on an app that runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from paas.context import Identity


def options(deployed) -> dict[str, str]:
    return dict(deployed.ctx.state.releases.current("shop").properties)


def test_an_option_is_a_release_and_can_be_taken_back(deployed):
    assert deployed("docker-options:add", "shop", "deploy,run", "--shm-size 256m") == 0
    assert deployed("docker-options:add", "shop", "deploy", "-e", "A=two words") == 0
    assert options(deployed) == {
        "docker-options.deploy": "--shm-size 256m\n-e 'A=two words'", "docker-options.run": "--shm-size 256m",
    }  # fmt: skip
    assert deployed.ctx.state.releases.current("shop").version == 3
    assert deployed("docker-options:list", "shop") == 0
    assert deployed.out.getvalue() == "--shm-size 256m\n-e 'A=two words'\n"
    assert deployed("docker-options:list", "shop", "--format", "json") == 0
    assert json.loads(deployed.out.getvalue()) == ["--shm-size 256m", "-e 'A=two words'"]
    assert deployed("docker-options:add", "shop", "deploy", "--shm-size 256m") == 0  # it is there already
    assert "Nothing to change" in deployed.out.getvalue()
    assert deployed.ctx.state.releases.current("shop").version == 3
    assert deployed("docker-options:remove", "shop", "deploy", "--shm-size 256m") == 0
    assert deployed("docker-options:remove", "shop", "deploy", "--shm-size 256m") == 20
    assert options(deployed)["docker-options.deploy"] == "-e 'A=two words'"
    assert deployed("docker-options:clear", "shop") == 0
    assert options(deployed) == {}
    assert deployed("docker-options:clear", "shop") == 0
    assert "Nothing to change: no options of shop" in deployed.out.getvalue()


def test_a_process_type_and_builds_have_options_of_their_own(deployed):
    assert deployed("docker-options:add", "--process", "web", "shop", "deploy", "--read-only") == 0
    assert deployed("docker-options:add", "shop", "build", "--build-arg A=1") == 0
    assert deployed.ctx.state.releases.current("shop").version == 2  # what a build takes concerns no container that runs
    assert deployed("docker-options:report", "shop", "--docker-options-deploy.web") == 0
    assert deployed.out.getvalue() == "--read-only\n"
    assert deployed("docker-options:clear", "--process", "web", "shop") == 0
    assert deployed.ctx.state.properties.get("shop", "docker-options") == {"build": "--build-arg A=1"}


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("shop", "deploy", "--privileged"), 1), (("shop", "build", "--network host"), 1), (("shop", "launch", "-e A=1"), 2),
        (("nope", "deploy", "-e A=1"), 20), (("shop", "deploy"), 2), (("--process", "web", "shop", "run", "-e A=1"), 2),
        (("--process", "a b", "shop", "deploy", "-e A=1"), 1),
        (("--process", "wbe", "shop", "deploy", "-e A=1"), 1), (("shop", "deploy", "-v /etc:/host"), 13),
        (("shop", "run,deploy", "-v data:/data"), 13),
    ],
)  # fmt: skip
def test_what_cannot_be_changes_nothing(deployed, argv, code):
    assert deployed("docker-options:add", *argv) == code
    assert deployed.ctx.state.properties.get("shop", "docker-options") == {}
    assert deployed.ctx.state.releases.current("shop").version == 1


def test_no_value_of_an_option_is_shown_with_the_release(deployed):
    assert deployed("docker-options:add", "shop", "deploy", "--env=KEY=hunter2 -eOTHER=hunter3") == 0
    assert deployed.ctx.state.releases.current("shop").cause == "docker-options:add deploy --env -e"
    assert "hunter" not in "".join(event.detail for event in deployed.ctx.state.events.list("shop"))


def test_root_gives_directories_of_the_machine(deployed, tmp_path):
    deployed.ctx = replace(deployed.ctx, identity=Identity(name="root", is_admin=True))
    assert deployed("docker-options:add", "shop", "deploy", f"-v {tmp_path}:/data") == 0
    assert options(deployed) == {"docker-options.deploy": f"-v {tmp_path}:/data"}
