"""The line of waiting pushes, with real processes: a push is one, and it is sent away by a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from harness import wait_until
from paas.context import Context, Identity
from paas.deploy import apps, pushes
from paas.deploy.pushes import push_turn
from paas.deploy.queue import app_turn
from paas.errors import Conflict


@dataclass
class Push:
    """A push in a process of its own. It deploys until it is let go; `ended` tells how: deployed, or what the user was told."""

    pid: int
    reader: int
    gate: int

    def let_go(self) -> None:
        os.write(self.gate, b"x")

    def ended(self) -> str:
        with os.fdopen(self.reader) as stream:
            said = stream.read()
        os.close(self.gate)
        os.waitpid(self.pid, 0)
        return said


@pytest.fixture
def push(ctx: Context, tmp_path) -> Callable[..., Push]:
    apps.create(ctx, "shop")
    order = tmp_path / "order"
    order.touch()

    def start(name: str, *, newest_wins: bool = True, command: str = "git push") -> Push:
        reader, writer = os.pipe()
        waiting, gate = os.pipe()
        before = len(pushes._tickets(ctx.paths.app_queue("shop")))
        pid = os.fork()
        if pid == 0:
            said = "a fault"
            try:
                own = replace(ctx, identity=Identity(name=name, is_admin=False))
                try:
                    is_push = command == "git push"
                    in_line = push_turn(own, "shop", command, revision="c0ffee", newest_wins=newest_wins)
                    turn = in_line if is_push else app_turn(own, "shop", command)
                    with turn:
                        with order.open("a") as stream:
                            stream.write(name + "\n")
                        os.read(waiting, 1)
                    said = "deployed"
                except Conflict as exc:
                    said = exc.message
            finally:
                os.write(writer, said.encode())
                os._exit(0)
        os.close(writer)
        os.close(waiting)
        folder = ctx.paths.app_queue("shop")
        if command == "git push":
            wait_until("it stands in line", lambda: len(pushes._tickets(folder)) > before)
        else:
            wait_until("it is at work", order.read_text)
        return Push(pid=pid, reader=reader, gate=gate)

    start.order = lambda: order.read_text().split()
    return start


def test_the_newest_of_several_that_wait_takes_the_place_of_the_others(ctx, push):
    first = push("alice")
    wait_until("the first is served", push.order)
    second, third = push("bob"), push("carol")
    assert second.ended() == "Superseded: git push by carol came while this push waited, and takes its place"
    first.let_go()
    third.let_go()
    assert (first.ended(), third.ended()) == ("deployed", "deployed")
    assert push.order() == ["alice", "carol"]
    (build,) = ctx.state.builds.list("shop")
    assert (build.status, build.actor, build.revision, build.canceled_by) == ("superseded", "bob", "c0ffee", "git push by carol")
    assert "Superseded: git push by carol" in ctx.paths.build_log(build.id).read_text()
    assert ("bob", "superseded by git push by carol") in [(e.actor, e.detail) for e in ctx.state.events.list("shop")]


def test_all_are_served_in_the_order_in_which_they_came_when_that_is_wanted(ctx, push):
    waiting = [push(name, newest_wins=False) for name in ("alice", "bob", "carol", "dave")]
    wait_until("the first is served", push.order)
    assert [holder.what for holder in pushes.waiting(ctx, "shop")] == [f"git push by {n}" for n in ("bob", "carol", "dave")]
    for one in waiting:
        one.let_go()
    assert [one.ended() for one in waiting] == ["deployed"] * 4
    assert push.order() == ["alice", "bob", "carol", "dave"]
    assert pushes.waiting(ctx, "shop") == ()


def test_a_push_waits_for_any_other_command_too_and_may_be_overtaken_there(ctx, push):
    other = push("carol", command="ps:scale")
    first, second = push("alice"), push("bob")
    assert first.ended().startswith("Superseded: git push by bob")
    other.let_go()
    second.let_go()
    assert (other.ended(), second.ended()) == ("deployed", "deployed")
    assert push.order() == ["carol", "bob"]


def test_one_that_is_killed_in_line_holds_nobody_up(ctx, push):
    first = push("alice")
    wait_until("the first is served", push.order)
    killed = push("bob", newest_wins=False)
    last = push("carol", newest_wins=False)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.ended() == ""
    assert [holder.what for holder in pushes.waiting(ctx, "shop")] == ["git push by carol"]
    first.let_go()
    last.let_go()
    assert (first.ended(), last.ended()) == ("deployed", "deployed")


def test_one_that_is_killed_while_it_is_served_makes_room(ctx, push):
    first = push("alice")
    wait_until("the first is served", push.order)
    second = push("bob")
    os.kill(first.pid, signal.SIGKILL)
    second.let_go()
    assert (first.ended(), second.ended()) == ("", "deployed")


@pytest.mark.parametrize(
    ("scope", "value", "is_newest"), [("", "", True), ("shop", "all", False), ("", "all", False), ("shop", "newest", True)]
)
def test_the_property_decides(ctx, scope, value, is_newest):
    ctx.state.properties.set(scope, "builds", "queue", value)
    assert pushes.newest_wins(ctx, "shop") is is_newest
