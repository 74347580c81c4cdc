"""Dockerfiles as a user has them built: on the machine with `image:build`, and by a push."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from e2e.samples import app
from harness import PAAS, Instance, run, wait_until

pytestmark = pytest.mark.e2e


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def test_image_build_takes_the_caller_s_variables_and_files_through_the_server(instance: Instance, tmp_path: Path) -> None:
    write(
        tmp_path, key="from a file",
        Dockerfile="FROM debian:12\nARG FROM_CALLER\nARG OTHER=default\nENV GOT=$FROM_CALLER/$OTHER\n"
        "RUN --mount=type=secret,id=TOKEN,env=T --mount=type=secret,id=file sha256sum /run/secrets/file > /sum; echo $T > /t\n",
    )  # fmt: skip
    environment = {**os.environ, **instance.env, "FROM_CALLER": "caller", "OTHER": "not asked for", "TOKEN": "t0ken"}
    words = ["--build-arg", "FROM_CALLER", "--secret", "id=TOKEN", "--secret", f"id=file,src={tmp_path}/key", "--label", "a=b"]
    argv = [PAAS, "image:build", str(tmp_path), "-t", "e2e:1", "--progress", "quiet", *words]
    built = run(argv, env=environment).expect()
    assert built.stdout.strip().isalnum()
    (image,) = json.loads(instance.paas("image:inspect", "e2e:1").stdout)
    assert "GOT=caller/default" in image["config"]["Env"]
    assert image["config"]["Labels"] == {"a": "b"}
    said = instance.paas("container:run", "--rm", "e2e:1", "cat", "/t", "/sum").expect().stdout
    assert said.splitlines()[0] == "t0ken"
    archive = instance.paas("image:build", str(tmp_path), "--secret", "id=TOKEN,env=GONE", "-q")
    assert archive.code == 20
    assert "the variable GONE, which is not set" in archive.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_build_ends_with_its_caller(instance: Instance, tmp_path: Path, number: int) -> None:
    write(
        tmp_path,
        Dockerfile="FROM debian:12 AS base\nFROM base AS one\nRUN echo begun; sleep 500\n"
        "FROM base AS two\nRUN echo begun; sleep 501\nFROM scratch\nCOPY --from=one /etc /\nCOPY --from=two /etc /\n",
    )
    argv = [str(PAAS), "image:build", str(tmp_path)]
    environment = {**os.environ, **instance.env}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
        assert client.stdout is not None
        for _ in range(2):
            assert any(line.strip().endswith("] begun") for line in client.stdout)
        client.send_signal(number)
        client.wait()
    containers = instance.root / "containers"
    wait_until("the steps' containers are gone", lambda: not [p for p in containers.iterdir() if not p.name.startswith(".")])


def test_an_app_says_which_dockerfile_stage_and_arguments_it_is_built_with(instance: Instance, app_name: str) -> None:
    dockerfile = (
        "FROM paas/stack:debian-12 AS base\nARG GREETING\nENV GREETING=$GREETING\nCOPY server.py /srv/\nEXPOSE 7000\n"
        'FROM base AS served\nCMD ["python3", "/srv/server.py"]\nFROM base AS tests\nRUN exit 1\n'
    )
    files = app("chosen", **{"deploy/web.Dockerfile": dockerfile})
    del files["Procfile"]
    instance.ssh("apps:create", app_name).expect()
    instance.ssh("dockerfile:set", app_name, "path", "deploy/web.Dockerfile").expect()
    instance.ssh("builder-dockerfile:set", app_name, "target", "served").expect()
    instance.ssh("dockerfile:set", app_name, "build-args", "'GREETING=\"good day\"'").expect()  # SSH takes one layer of quotes
    repository = instance.repository(files)
    pushed = repository.push(app_name).expect()
    assert f"Building {app_name} from dockerfile" in pushed.stderr
    assert instance.get(f"{app_name}.localhost", "/env/GREETING").text == "good day"
    instance.ssh("docker-options:add", app_name, "build", "--build-arg", "GREETING=evening").expect()
    instance.ssh("ps:rebuild", app_name).expect()
    assert instance.get(f"{app_name}.localhost", "/env/GREETING").text == "evening"
    instance.ssh("dockerfile:set", app_name, "target", "tests").expect()
    refused = instance.ssh("ps:rebuild", app_name)
    assert refused.code != 0
    assert 'web.Dockerfile:9: "RUN exit 1" did not complete successfully: exit code: 1' in refused.output
    assert instance.get(f"{app_name}.localhost", "/env/GREETING").text == "evening"
