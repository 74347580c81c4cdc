"""One-off commands: what they run as, and what is left of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from paas.context import Context
from paas.deploy import apps, tasks
from paas.deploy.tasks import KEEP_ENDED_S
from paas.errors import Conflict, HostProblem, NotFound
from paas.model.container import KIND_CRON, KIND_TASK, LABEL_APP, LABEL_DEADLINE, LABEL_KIND, ContainerSpec
from paas.model.process import ProcessType
from paas.model.release import BuildResult
from unit.deploy.conftest import take_live

NOW = 1_000_000.0


@pytest.fixture
def shop(ctx: Context, tmp_path: Path) -> Context:
    """A context with a deployed app, whose clock stands still."""
    ctx = replace(ctx, now=lambda: NOW)
    ctx.builders[0].result = BuildResult(
        image="image-1", processes=(ProcessType(name="web", command="serve"), ProcessType(name="tidy", command="a && b"))
    )
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    ctx.state.config.set("shop", {"A": "config", "B": "config"})
    take_live(ctx, apps.create(ctx, "shop"), tmp_path / "tree")
    return ctx


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        (["tidy"], "a && b"),
        (["echo $A | wc"], "echo $A | wc"),
        (["tidy", "up"], "exec tidy up"),
        (["echo", "two words", "$A"], "exec echo 'two words' '$A'"),
    ],
)
def test_a_command_is_a_process_type_a_shell_line_or_words(shop, command, shell):
    assert tasks.run_oneoff(shop, "shop", command, env={"A": "given"}) == 0
    spec = shop.engine.ran[0]
    assert (spec.argv, spec.image) == (("/bin/sh", "-c", shell), "image-1")
    assert (spec.env["A"], spec.env["B"], spec.env["PAAS_APP"], spec.env["PAAS_RELEASE"]) == ("given", "config", "shop", "v1")


def test_its_exit_code_is_passed_through(shop):
    shop.engine.behaviour["exit 7"] = 7
    assert tasks.run_oneoff(shop, "shop", ["exit 7"]) == 7


def test_a_detached_one_has_a_log_and_an_end(shop):
    container = tasks.run_detached(shop, "shop", ["tidy"], ttl_s=60)
    assert container.labels[LABEL_DEADLINE] == str(int(NOW) + 60)
    assert container.log_path == shop.paths.oneoff_log("shop", container.name)
    assert tasks.oneoffs(shop, "shop") == (container,)
    tasks.stop_oneoff(shop, container)
    assert tasks.oneoffs(shop, "shop") == ()
    tasks.stop_oneoff(shop, container)


def test_a_detached_one_that_does_not_start_leaves_nothing(shop):
    shop.engine.behaviour["start"] = HostProblem("no network")
    with pytest.raises(HostProblem):
        tasks.run_detached(shop, "shop", ["tidy"])
    assert tasks.oneoffs(shop, "shop") == ()


def test_an_app_that_was_never_deployed_or_is_not_there_runs_nothing(ctx):
    apps.create(ctx, "empty")
    with pytest.raises(Conflict, match="has not been deployed"):
        tasks.run_oneoff(ctx, "empty", ["true"])
    for work in (tasks.run_oneoff, tasks.run_detached):
        with pytest.raises(NotFound):
            work(ctx, "nobody", ["true"])


def test_what_ended_long_ago_and_what_belongs_to_no_app_is_removed(shop):
    running, recent, old = (tasks.run_detached(shop, "shop", ["tidy"]) for _ in range(3))
    for container, ended_at in ((recent, NOW - KEEP_ENDED_S), (old, NOW - KEEP_ENDED_S - 1)):
        shop.engine.exit(container.id, 0)
        shop.engine.containers[container.id] = replace(shop.engine.containers[container.id], finished_at=ended_at)
    spec = ContainerSpec(image="image-1", argv=("x",))
    for name, app, kind in (("gone", "gone", KIND_CRON), ("cron", "shop", KIND_CRON), ("task", "gone", KIND_TASK)):
        shop.engine.create(replace(spec, name=name, labels={LABEL_APP: app, LABEL_KIND: kind}))
    tasks.reap(shop)
    left = {c.name for c in shop.engine.list() if c.labels[LABEL_KIND] != "process"}
    assert left == {running.name, recent.name, "cron", "task"}
