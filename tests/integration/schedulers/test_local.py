"""The local scheduler with the real engine: all or nothing, and what it says when a process does not get ready."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import pytest

from engine_ground import EngineGround, engine_ground
from paas.errors import DeployFailed
from paas.model.app import App
from paas.model.process import ProcessType
from paas.model.release import Release, ReleaseStatus
from paas.output import Output
from paas.schedulers import Deployment
from paas.schedulers.local.scheduler import LocalScheduler

pytestmark = pytest.mark.integration

APP = App(name="shop", number=1, created_at=0)


@pytest.fixture(scope="module")
def ground() -> Iterator[EngineGround]:
    with engine_ground() as made:
        yield made


@pytest.fixture
def scheduler(ground: EngineGround) -> Iterator[LocalScheduler]:
    yield LocalScheduler(engine=ground.engine, paths=ground.paths, settings=ground.settings)
    for container in ground.engine.list():
        ground.engine.remove(container.id, is_forced=True)


def deployment(
    commands: Mapping[str, str], *, version: int = 1, config: Mapping[str, str] | None = None, ports: tuple[int, ...] = (5000,),
    counts: Mapping[str, int] | None = None, **properties: str,
) -> Deployment:
    formation = {name: 1 for name in commands} | dict(counts or {})
    release = Release(
        app="shop", version=version, build_id=1, image="busybox",
        processes=tuple(ProcessType(name=name, command=command) for name, command in commands.items()),
        ports=(), config=config or {}, formation=formation, status=ReleaseStatus.PENDING, actor="me", cause="push", created_at=0,
    )  # fmt: skip
    named = {name.replace("__", ".").replace("_", "-"): value for name, value in properties.items()}
    return Deployment(app=APP, release=release, formation=formation, ports=ports, properties=named)


def start(scheduler: LocalScheduler, wanted: Deployment) -> list[str]:
    """Start, and return which processes serve."""
    found = scheduler.start(wanted, Output(io.StringIO(), io.StringIO()))
    return sorted(container.name.removeprefix("shop.").rpartition(".v")[0] for container in found)


def failure(scheduler: LocalScheduler, wanted: Deployment) -> DeployFailed:
    with pytest.raises(DeployFailed) as caught:
        start(scheduler, wanted)
    return caught.value


def test_all_types_start_and_a_second_start_keeps_them(scheduler: LocalScheduler, ground: EngineGround) -> None:
    wanted = deployment({"web": "server", "worker": "sleep 1000"}, counts={"web": 2})
    assert start(scheduler, wanted) == ["web.1", "web.2", "worker.1"]
    before = {container.id for container in ground.engine.list()}
    assert start(scheduler, wanted) == ["web.1", "web.2", "worker.1"]
    assert {container.id for container in ground.engine.list()} == before
    assert scheduler.obsolete(wanted, APP) == ()


def test_new_release_starts_beside_the_old_one_which_is_obsolete_then(scheduler: LocalScheduler) -> None:
    start(scheduler, deployment({"web": "server"}))
    second = deployment({"web": "server"}, version=2)
    assert start(scheduler, second) == ["web.1"]
    assert [container.labels["paas.release"] for container in scheduler.obsolete(second, APP)] == ["1"]
    assert [container.labels["paas.release"] for container in scheduler.serving(second)] == ["2"]


def test_process_sees_its_config_and_what_the_platform_adds(scheduler: LocalScheduler, ground: EngineGround) -> None:
    wanted = deployment({"worker": "env; sleep 1000"}, config={"A": "two\nlines", "DYNO": "mine"}, ports=(8080,), version=7)
    start(scheduler, wanted)
    (container,) = scheduler.serving(wanted)
    said = "\n".join(line.text for line in ground.engine.logs(container.id))
    assert "A=two\nlines\n" in said
    for line in ("PORT=8080", "DYNO=worker.1", "PAAS_APP=shop", "PAAS_PROCESS=worker.1", "PAAS_RELEASE=v7", "FROM=image"):
        assert line in said.splitlines()
    assert container.log_path is not None and container.log_path.parent == ground.paths.app_logs("shop") / "worker.1"


def test_failure_of_one_takes_back_all_new_ones_and_no_old_one(scheduler: LocalScheduler, ground: EngineGround) -> None:
    start(scheduler, deployment({"web": "server"}))
    old = [container.id for container in ground.engine.list()]
    error = failure(scheduler, deployment({"web": "server", "worker": "echo no queue; exit 3"}, version=2, counts={"web": 3}))
    assert error.message == "worker.1 exited with status 3 instead of staying up"
    assert error.output == ("no queue",)
    assert [(container.id, container.is_running) for container in ground.engine.list()] == [(old[0], True)]


def test_process_over_its_memory_limit_is_told_so(scheduler: LocalScheduler, ground: EngineGround) -> None:
    fill = "x=xxxxxxxxxxxxxxxx; while true; do x=$x$x; done"
    error = failure(scheduler, deployment({"worker": fill}, resource__limit__memory="16"))
    assert error.message == "worker.1 was killed because it used more memory than it may (16 MiB)"
    assert ground.engine.list() == ()


def test_process_killed_by_a_signal_is_told_so(scheduler: LocalScheduler) -> None:
    error = failure(scheduler, deployment({"worker": "kill -SEGV $$; sleep 1"}))
    assert error.message == "worker.1 was killed by SIGSEGV"
    assert error.remedy == "it wrote nothing; fix it and try again"


def test_program_that_is_missing_is_named(scheduler: LocalScheduler, ground: EngineGround) -> None:
    error = failure(scheduler, deployment({"web": "gunicorn app:app"}))
    assert error.message == "web.1 exited with status 127 instead of staying up"
    assert "gunicorn" in error.output[-1]
    assert ground.engine.list() == ()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sleep 1000", "web.1 did not listen on port 5000 ($PORT) within 1 s"),
        ("PORT=8000 server", "web.1 listens on port 8000, not on $PORT (5000)"),
        ("httpd -f -p 127.0.0.1:$PORT", "web.1 listens on port 5000 of its own loopback only, where nobody can reach it"),
    ],
)
def test_web_process_that_cannot_be_reached_is_told_why(
    command: str, said: str, scheduler: LocalScheduler, ground: EngineGround
) -> None:
    error = failure(scheduler, deployment({"web": command}, checks__timeout="1"))
    assert error.message == said
    assert error.remedy
    assert ground.engine.list() == ()


def test_last_twenty_lines_are_in_the_error(scheduler: LocalScheduler) -> None:
    error = failure(scheduler, deployment({"worker": "for i in $(seq 50); do echo line $i; done; exit 1"}))
    assert error.output == tuple(f"line {n}" for n in range(31, 51))
