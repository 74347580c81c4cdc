"""Ending a deploy: only that of the one who holds the app's turn, and never one that is live."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from harness import wait_until
from paas.context import Context, Identity
from paas.deploy import apps, cancel, rollout
from paas.deploy.cancel import cancel_deploy, shown_status
from paas.deploy.queue import app_turn
from paas.errors import Cancelled, Conflict, NotFound
from paas.model.release import BuildStatus, ReleaseStatus
from unit.deploy.conftest import take_live


@pytest.fixture
def deploying(ctx: Context, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], int]]:
    """Return a function that deploys in another process; `switch` is what that does where containers would be started."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/code").write_text("x")
    app = apps.create(ctx, "shop")
    pids = []

    def start(switch: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            code = 9
            try:
                monkeypatch.setattr(rollout, "switch_to", lambda *_: switch())
                with app_turn(ctx, "shop", "git push"):
                    take_live(ctx, app, tmp_path / "tree", "abc")
                code = 0
            except Cancelled as exc:
                code = 1 if exc.message == "The deploy of shop was canceled by bob" else 2
            finally:
                os._exit(code)
        pids.append(pid)
        wait_until("it is under way", lambda: [r for r in ctx.state.releases.pending("shop")] or os.waitid(
            os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))  # fmt: skip
        return pid

    yield start
    for pid in pids:
        os.waitpid(pid, 0)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status << 8)


@pytest.fixture
def bob(ctx: Context) -> Context:
    return replace(ctx, identity=Identity(name="bob", is_admin=False))


def test_the_one_who_deploys_is_told_who_ended_it(ctx, bob, deploying):
    pid = deploying(signal.pause)
    ended = cancel_deploy(bob, "shop")
    assert (ended.status, ended.canceled_by, ended.pid) == (BuildStatus.CANCELLED, "bob", 0)
    assert exit_code(pid) == 1
    assert ctx.state.releases.get("shop", 1).status is ReleaseStatus.FAILED
    assert ("bob", "builds:cancel") in [(e.actor, e.event) for e in ctx.state.events.list("shop")]


def test_one_that_does_not_listen_is_killed_and_cleaned_up_after(ctx, bob, deploying, monkeypatch):
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            signal.pause()

    pid = deploying(ignore)
    wait_until("it ignores the signal", lambda: _ignores(pid, signal.SIGINT))
    monkeypatch.setattr(cancel, "PATIENCE_S", 0.1)
    ended = cancel_deploy(bob, "shop")
    assert (ended.status, ended.canceled_by) == (BuildStatus.CANCELLED, "bob")
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == signal.SIGKILL
    assert ctx.state.releases.get("shop", 1).status is ReleaseStatus.FAILED


def _ignores(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status") as stream:
        mask = next(line.split()[1] for line in stream if line.startswith("SigIgn"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_nothing_is_ended_when_nothing_runs(ctx, bob):
    with pytest.raises(NotFound):
        cancel_deploy(bob, "shop")
    apps.create(ctx, "shop")
    with pytest.raises(Conflict, match="No deploy of shop is under way"):
        cancel_deploy(bob, "shop")


def test_a_record_whose_process_is_gone_is_abandoned_and_another_command_is_not_hit(ctx, bob):
    apps.create(ctx, "shop")
    left = ctx.state.builds.start("shop", "alice", "git push", "abc", 1.0, pid=os.getpid() + 1)
    assert shown_status(ctx, left) is BuildStatus.ABANDONED
    with app_turn(ctx, "shop", "ps:scale"), pytest.raises(Conflict, match="No deploy of shop is under way"):
        cancel_deploy(bob, "shop")


def test_who_comes_when_the_release_is_live_comes_too_late(ctx, bob, monkeypatch):
    apps.create(ctx, "shop")
    build = ctx.state.builds.start("shop", "alice", "git push", "abc", 1.0, pid=os.getpid())

    def go_live(*_arguments, **_options) -> bool:
        ctx.state.builds.finish(build.id, BuildStatus.SUCCEEDED, 2.0)
        return True

    monkeypatch.setattr(cancel, "wait_for_end", go_live)
    with app_turn(ctx, "shop", "git push"), pytest.raises(Conflict, match="Too late"):
        cancel_deploy(bob, "shop")
