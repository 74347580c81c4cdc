import json
from dataclasses import replace

import pytest

from paas.model.app import App
from paas.model.appjson import parse_app_json
from paas.model.container import (
    LABEL_APP,
    LABEL_INDEX,
    LABEL_KIND,
    LABEL_RELEASE,
    LABEL_TYPE,
    Container,
    ContainerSpec,
    ContainerStatus,
    Limits,
    Tenant,
)  # fmt: skip
from paas.model.probe import Probe, ProbeKind
from paas.model.process import ProcessId, ProcessType
from paas.model.release import Release, ReleaseStatus
from paas.paths import Paths
from paas.schedulers import LABEL_GENERATION, Deployment
from paas.schedulers.local.plan import plan_rollout
from paas.schedulers.local.processes import checks_for, container_spec, probe_for
from paas.settings import Settings

RELEASE = Release(
    app="shop", version=7, build_id=1, image="img",
    processes=(ProcessType(name="web", command="serve"), ProcessType(name="worker", command="a && b")),
    ports=(), config={"PORT": "1", "A": "b c"}, formation={}, status=ReleaseStatus.CURRENT, actor="me", cause="push",
    created_at=0,
)  # fmt: skip


def deployment(**changes) -> Deployment:
    given = {"app": App(name="shop", number=3, created_at=0), "release": RELEASE, "formation": {"worker": 1, "web": 2}}
    return Deployment(**{**given, **changes})


def container(process: str, *, release: int = 7, generation: int = 0, running: bool = True, created: float = 1.0) -> Container:
    kind, index = process.rsplit(".", 1)
    return Container(
        id=f"{process}-v{release}-g{generation}-{created}", name=process, image="img",
        tenant=Tenant(name="shop", number=3), argv=("x",),
        labels={LABEL_RELEASE: str(release), LABEL_TYPE: kind, LABEL_INDEX: index, LABEL_GENERATION: str(generation)},
        status=ContainerStatus.RUNNING if running else ContainerStatus.STOPPED, created_at=created,
    )  # fmt: skip


def test_nothing_runs_so_everything_starts_web_first():
    plan = plan_rollout([], deployment())
    assert plan.describe() == "start web.1, web.2, worker.1; keep 0; retire 0"


def test_nothing_to_do_is_a_plan():
    found = [container("web.1"), container("web.2"), container("worker.1")]
    assert plan_rollout(found, deployment()).describe() == "start nothing; keep 3; retire 0"


def test_the_old_release_and_the_old_generation_are_replaced():
    old, restarted, kept = container("web.1", release=6), container("web.2"), container("worker.1")
    plan = plan_rollout([old, restarted, kept], deployment(generations={"web": 1}))
    assert plan.start == (ProcessId(type="web", index=1), ProcessId(type="web", index=2))
    assert (plan.keep, plan.retire) == ((kept,), (old, restarted))


def test_scaling_down_retires_the_highest():
    found = [container("web.1"), container("web.2"), container("web.3")]
    plan = plan_rollout(found, deployment(formation={"web": 1, "worker": 0}))
    assert (plan.keep, plan.start, plan.retire) == ((found[0],), (), (found[1], found[2]))


def test_a_stopped_container_is_replaced_never_restarted():
    dead = container("web.1", running=False)
    plan = plan_rollout([dead, container("web.2"), container("worker.1")], deployment())
    assert (plan.start, plan.retire) == ((ProcessId(type="web", index=1),), (dead,))


def test_a_container_that_was_told_to_stop_is_replaced_even_while_it_runs():
    leaving = container("web.1")
    plan = plan_rollout([leaving], deployment(formation={"web": 1}), retired={leaving.id})
    assert (plan.start, plan.retire) == ((ProcessId(type="web", index=1),), (leaving,))


def test_a_container_that_nobody_holds_serves_until_its_replacement_runs():
    deaf = replace(container("web.1", created=1), is_held=False)
    plan = plan_rollout([deaf], deployment(formation={"web": 1}))
    assert (plan.keep, plan.start, plan.retire) == ((deaf,), (ProcessId(type="web", index=1),), ())
    replacement = container("web.1", created=2)
    plan = plan_rollout([deaf, replacement], deployment(formation={"web": 1}))
    assert (plan.keep, plan.start, plan.retire) == ((replacement,), (), (deaf,))


def test_of_two_for_one_process_the_older_is_kept():
    younger, older = container("web.1", created=2), container("web.1", created=1)
    plan = plan_rollout([younger, older], deployment(formation={"web": 1}))
    assert (plan.keep, plan.retire) == ((older,), (younger,))


def test_only_the_processes_asked_for_start():
    plan = plan_rollout([], deployment(only=frozenset({ProcessId(type="web", index=2)})))
    assert plan.start == (ProcessId(type="web", index=2),)


def test_an_app_that_should_not_run_keeps_nothing():
    found = (container("web.1"),)
    assert plan_rollout(found, None).retire == found


def test_a_process_becomes_a_container(tmp_path):
    paths = Paths(root=tmp_path, run=tmp_path, etc=tmp_path)
    properties = {"ps.stop-timeout-seconds": "9", "resource.limit.memory": "64"}
    wanted = deployment(generations={"worker": 2}, ports=(8080,), properties=properties)
    process = ProcessId(type="worker", index=1)
    spec = container_spec(wanted, process, entrypoint=(), token="t", paths=paths, settings=Settings())
    assert spec == ContainerSpec(
        image="img", argv=("/bin/sh", "-c", "a && b"), tenant=Tenant(name="shop", number=3), name="shop.worker.1.v7.g2.t",
        hostname="worker.1",
        env={
            "A": "b c", "PORT": "8080", "DYNO": "worker.1", "PAAS_APP": "shop", "PAAS_PROCESS": "worker.1",
            "PAAS_PROCESS_TYPE": "worker", "PAAS_RELEASE": "v7",
        },
        labels={
            LABEL_APP: "shop", LABEL_KIND: "process", LABEL_RELEASE: "7", LABEL_TYPE: "worker", LABEL_INDEX: "1",
            LABEL_GENERATION: "2",
        },
        limits=Limits(memory_bytes=64 << 20, pids=4096), stop_timeout_s=9.0,
        log_path=tmp_path / "logs/shop/worker.1/shop.worker.1.v7.g2.t.log", log_max_bytes=10 << 20,
    )  # fmt: skip


def test_web_is_ready_when_it_listens_and_others_when_they_stay_up():
    web, worker = ProcessId(type="web", index=1), ProcessId(type="worker", index=1)
    assert probe_for(deployment(), web, Settings()) == Probe(kind=ProbeKind.LISTENING, port=5000, timeout_s=60.0)
    slow = replace(deployment(), properties={"checks.timeout": "120"})
    assert probe_for(slow, web, Settings()).timeout_s == 120.0
    assert probe_for(deployment(), worker, Settings()) == Probe(kind=ProbeKind.UPTIME, uptime_s=0.5, timeout_s=60.0)


@pytest.mark.parametrize(
    ("process", "checks", "probed"),
    [
        ("web", [{"path": "/health"}], None), ("web", [{"listening": True}], None),
        ("web", [{"command": ["true"]}], ProbeKind.LISTENING), ("web", [{"path": "/", "warn": True}], ProbeKind.LISTENING),
        ("web", [{"type": "liveness", "path": "/"}], ProbeKind.LISTENING),
        ("worker", [{"command": ["true"]}], ProbeKind.UPTIME), ("worker", [{"uptime": 3}], None),
    ],
)  # fmt: skip
def test_own_checks_take_the_place_of_the_default_where_they_say_the_same(process, checks, probed):
    app_json = parse_app_json(json.dumps({"healthchecks": {process: checks}}))
    wanted = deployment(release=replace(RELEASE, app_json=app_json))
    probe = probe_for(wanted, ProcessId(type=process, index=1), Settings())
    assert (probe.kind if probe else None) == probed


def test_liveness_is_not_asked_before_a_process_serves():
    kinds = ["startup", "readiness", "liveness"]
    app_json = parse_app_json(json.dumps({"healthchecks": {"web": [{"type": kind, "path": f"/{kind}"} for kind in kinds]}}))
    wanted = deployment(release=replace(RELEASE, app_json=app_json))
    assert [check.path for check in checks_for(wanted, ProcessId(type="web", index=1))] == ["/startup", "/readiness"]


@pytest.mark.parametrize(
    ("disabled", "skipped", "modes"),
    [("", "", ("enabled", "enabled")), ("web", "worker", ("disabled", "skipped")), ("_all_", "", ("disabled", "disabled"))],
)
def test_how_a_type_is_replaced(disabled, skipped, modes):
    wanted = deployment(properties={"checks.disabled": disabled, "checks.skipped": skipped})
    assert (wanted.check_mode("web"), wanted.check_mode("worker")) == modes
