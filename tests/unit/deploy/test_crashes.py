"""Commands that are killed after any of their steps: routes never lead to what is gone, and intent and fact agree once
`reconcile` has run. Every command once for each step, then random sequences of commands and kills.

Each command runs in a fork on the real ledger. Containers and proxy are in files, as the kernel and nginx are outside of us;
`os._exit` after the n-th change of any of them is a `kill -9`: no handler runs, no lock is given back by hand.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from paas.context import Context, Identity
from paas.deploy import apps, config, ledger, processes, rollback, rollout
from paas.deploy.intent import current_deployment
from paas.deploy.retire import Retirement
from paas.errors import PaasError
from paas.host import git
from paas.model.container import LABEL_TYPE, process_of
from paas.model.process import ProcessType
from paas.model.release import BuildResult, BuildStatus, ReleaseStatus
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings
from paas.state import State
from unit.deploy.conftest import FakeBuilder, FakeEngine, FakeProxy, FakeScheduler, take_live

APP = "shop"
KILLED = 137
#: More steps than any command has.
MOST_STEPS = 400
#: Every other command lives.
KILLS = st.one_of(st.just(0), st.integers(1, 60))
Command = Callable[[Context], object]
TYPES = (ProcessType(name="web", command="serve"), ProcessType(name="worker", command="work"))


@dataclass
class Killer:
    """Ends this process at the n-th step from now; 0 never."""

    countdown: int = 0

    def step(self) -> None:
        self.countdown -= 1
        if self.countdown == 0:
            os._exit(KILLED)


class Stored(dict[Any, Any]):
    """A dictionary in a file; every change of it is a step before which and after which one may be killed."""

    def __init__(self, file: Path, killer: Killer) -> None:
        super().__init__(pickle.loads(file.read_bytes()) if file.exists() else {})
        self._file, self._killer, self._lock = file, killer, threading.RLock()  # commands stop containers in threads

    def __setitem__(self, key: Any, value: Any) -> None:
        with self._lock:
            self._killer.step()
            super().__setitem__(key, value)
            self._write()

    def __delitem__(self, key: Any) -> None:
        with self._lock:
            self._killer.step()
            super().__delitem__(key)
            self._write()

    def pop(self, key: Any, *default: Any) -> Any:
        with self._lock:
            self._killer.step()
            found = super().pop(key, *default)
            self._write()
            return found

    add = functools.partialmethod(__setitem__, value=True)

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(pickle.dumps(dict(self)))
        fresh.rename(self._file)
        self._killer.step()


class Numbers:
    """Counts on where an earlier process stopped."""

    def __init__(self, store: Stored) -> None:
        self._store = store

    def __next__(self) -> int:
        self._store["last"] = self._store.get("last", 0) + 1
        return int(self._store["last"])


class Stepping:
    """A part of the state each of whose calls has a step before and after it."""

    def __init__(self, part: Any, killer: Killer) -> None:
        self._part, self._killer = part, killer

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._part, name)

        def stepping(*args: Any, **kwargs: Any) -> Any:
            self._killer.step()
            result = call(*args, **kwargs)
            self._killer.step()
            return result

        return stepping


class World:
    """One machine: its directories, and what survives a process. Begins empty or as a copy of another."""

    def __init__(self, other: World | None = None) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="paas-crashes-", dir="/dev/shm"))
        if other is not None:
            shutil.copytree(other.base, self.base, dirs_exist_ok=True)
        self.tree = self.base / "tree"
        self.tree.mkdir(exist_ok=True)
        (self.tree / "code").write_text("x")

    def prepare(self, *, is_stopped: bool = False) -> None:
        """Deploy the app twice, with two web processes, a worker and a config var."""
        steps: list[Command] = [
            push(self),
            lambda ctx: config.set_config(ctx, APP, {"KEY": "old"}),
            lambda ctx: processes.scale(ctx, APP, {"web": 2, "worker": 1}),
            push(self),
            *([lambda ctx: processes.stop(ctx, APP)] if is_stopped else []),
        ]
        for step in steps:
            assert self.run(step) == 0
            self.converge()

    def remove(self) -> None:
        """Take it away."""
        shutil.rmtree(self.base)

    def context(self, *, failing: frozenset[str] = frozenset(), kill_after: int = 0) -> Context:
        """Return what a process that starts now works with."""
        killer = Killer(kill_after)
        engine = FakeEngine(containers=self._stored("containers", killer), numbers=Numbers(self._stored("numbers", killer)))
        paths = Paths(root=self.base / "root", run=self.base / "run", etc=self.base / "etc")
        state = State(paths.database)
        for name in ("apps", "config", "builds", "releases", "routes", "events"):
            setattr(state, name, Stepping(getattr(state, name), killer))
        result = BuildResult(image="image", processes=TYPES)
        return Context(
            paths=paths,
            settings=Settings(),
            state=state,
            engine=engine,
            scheduler=FakeScheduler(engine, failing=set(failing), told=self._stored("retired", killer)),
            proxy=FakeProxy(served=self._stored("served", killer)),
            builders=(FakeBuilder(result=result),),
            output=Output(io.StringIO(), io.StringIO()),
            identity=Identity(name="alice", is_admin=False),
        )

    def _stored(self, name: str, killer: Killer) -> Any:
        return Stored(self.base / f"{name}.pickle", killer)

    def run(self, command: Command, *, failing: frozenset[str] = frozenset(), kill_after: int = 0) -> int:
        """Run a command in a process of its own; return 0, 1 for an error that it explained, or KILLED."""
        pid = os.fork()
        if pid == 0:
            code = os.EX_SOFTWARE
            try:
                git.ensure_repo = lambda *args, **kwargs: None  # type: ignore[assignment]  # nobody else lives in this process
                command(self.context(failing=failing, kill_after=kill_after))
                code = 0
            except PaasError:
                code = 1
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def converge(self) -> None:
        """Do what the supervisor does after a command."""
        ctx = self.context()
        ledger.close_interrupted(ctx)
        if ctx.state.apps.find(APP) is None:
            return
        rollout.reconcile(ctx, APP)
        retirement, clock = Retirement(), [ctx.now()]
        timed = replace(ctx, now=lambda: clock[0])
        retirement.adopt(timed, APP)
        while retirement.step(timed):
            clock[0] += 61

    # -- what must hold

    def routes_lead_to_what_runs(self) -> None:
        """No visitor is sent to a container that is gone, whatever was just killed."""
        ctx = self.context()
        running = {c.address for c in ctx.engine.containers.values() if c.is_running}
        if APP in ctx.proxy.served:
            assert _routed(ctx) <= running

    def fact_is_what_is_intended(self) -> None:
        """Just the processes of the current release run, and the routes lead to all its web processes."""
        ctx = self.context()
        app = ctx.state.apps.find(APP)
        deployment = current_deployment(ctx, app) if app is not None else None
        running = [c for c in ctx.engine.containers.values() if c.is_running]
        assert sorted(str(process_of(c)) for c in running) == sorted(map(str, deployment.wanted() if deployment else ()))
        if deployment is not None:
            assert {c.id for c in running} == {c.id for c in ctx.scheduler.serving(deployment)}
        if APP in ctx.proxy.served:
            assert _routed(ctx) == {c.address for c in running if c.labels[LABEL_TYPE] == "web"}

    def ledger_is_closed(self) -> None:
        """No build and no release is left open, and the config vars of a running app are those of its release."""
        ctx = self.context()
        app = ctx.state.apps.find(APP)
        if app is None:
            return
        assert BuildStatus.RUNNING not in {build.status for build in ctx.state.builds.list(APP)}
        assert ReleaseStatus.PENDING not in {release.status for release in ctx.state.releases.list(APP)}
        current = ctx.state.releases.current(APP)
        if current is not None and not app.is_stopped:
            assert ctx.state.config.merged(APP) == current.config


def _routed(ctx: Context) -> set[str]:
    return {address.partition(":")[0] for address in ctx.proxy.upstreams(APP)}


def push(world: World) -> Command:
    """Return the deploy of a tree; the app is created by the first."""

    def command(ctx: Context) -> None:
        app = ctx.state.apps.find(APP) or apps.create(ctx, APP)
        take_live(ctx, app, world.tree, "abc")

    return command


COMMANDS: dict[str, Callable[[World], Command]] = {
    "push": push,
    "config:set": lambda _: lambda ctx: config.set_config(ctx, APP, {"KEY": "new"}),
    "config:unset": lambda _: lambda ctx: config.unset_config(ctx, APP, ["KEY"]),
    "ps:scale": lambda _: lambda ctx: processes.scale(ctx, APP, {"web": 1, "worker": 2}),
    "ps:restart": lambda _: lambda ctx: processes.restart(ctx, APP),
    "ps:restart web.1": lambda _: lambda ctx: processes.restart(ctx, APP, ["web.1"]),
    "ps:stop": lambda _: lambda ctx: processes.stop(ctx, APP),
    "ps:start": lambda _: lambda ctx: processes.start_app(ctx, APP),
    "ps:rollback": lambda _: lambda ctx: rollback.roll_back(ctx, APP),
    "apps:rename": lambda _: lambda ctx: apps.rename(ctx, APP, "other"),
    "apps:destroy": lambda _: lambda ctx: apps.destroy(ctx, APP),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_may_be_killed_after_any_of_its_steps(name: str) -> None:
    seed = World()
    seed.prepare(is_stopped=name == "ps:start")
    for steps in range(1, MOST_STEPS):
        world = World(seed)
        code = world.run(COMMANDS[name](world), kill_after=steps)
        if name not in ("apps:rename", "apps:destroy"):
            world.routes_lead_to_what_runs()
            world.converge()
            world.fact_is_what_is_intended()
            world.ledger_is_closed()
        again = world.run(COMMANDS[name](world)) if code == KILLED else 0
        assert again in (0, 1) if name != "apps:destroy" else again == 0 or world.context().state.apps.find(APP) is None
        world.remove()
        if code != KILLED:
            break
    seed.remove()
    assert code == 0
    assert steps > 5


class Crashes(RuleBasedStateMachine):
    """One app and its life."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.prepare()

    def teardown(self) -> None:
        self.world.remove()

    def do(self, command: Command, kill_after: int, failing: frozenset[str] = frozenset()) -> None:
        """Run a command, see that visitors noticed nothing, let the supervisor do its work."""
        assert self.world.run(command, failing=failing, kill_after=kill_after) in (0, 1, KILLED)
        self.world.routes_lead_to_what_runs()
        self.world.converge()

    @rule(kill_after=KILLS, failing=st.sampled_from([frozenset(), frozenset({"web"}), frozenset({"worker"})]))
    def push(self, kill_after: int, failing: frozenset[str]) -> None:
        self.do(push(self.world), kill_after, failing)

    @rule(kill_after=KILLS, value=st.sampled_from("abc"), failing=st.sampled_from([frozenset(), frozenset({"web"})]))
    def set_config(self, kill_after: int, value: str, failing: frozenset[str]) -> None:
        self.do(lambda ctx: config.set_config(ctx, APP, {"KEY": value}), kill_after, failing)

    @rule(kill_after=KILLS, web=st.integers(0, 3), worker=st.integers(0, 2))
    def scale(self, kill_after: int, web: int, worker: int) -> None:
        self.do(lambda ctx: processes.scale(ctx, APP, {"web": web, "worker": worker}), kill_after)

    @rule(kill_after=KILLS, chosen=st.sampled_from([(), ("web",), ("web.1",)]))
    def restart(self, kill_after: int, chosen: tuple[str, ...]) -> None:
        self.do(lambda ctx: processes.restart(ctx, APP, chosen), kill_after)

    @rule(kill_after=KILLS)
    def stop(self, kill_after: int) -> None:
        self.do(lambda ctx: processes.stop(ctx, APP), kill_after)

    @rule(kill_after=KILLS)
    def start(self, kill_after: int) -> None:
        self.do(lambda ctx: processes.start_app(ctx, APP), kill_after)

    @rule(kill_after=KILLS)
    def roll_back(self, kill_after: int) -> None:
        self.do(lambda ctx: rollback.roll_back(ctx, APP), kill_after)

    @rule(pick=st.integers(0, 10))
    def lose_a_container(self, pick: int) -> None:
        ctx = self.world.context()
        running = [c.id for c in ctx.engine.containers.values() if c.is_running]
        if running:
            ctx.engine.exit(running[pick % len(running)], 1)
        self.world.converge()

    @invariant()
    def fact_is_what_is_intended(self) -> None:
        self.world.fact_is_what_is_intended()

    @invariant()
    def ledger_is_closed(self) -> None:
        self.world.ledger_is_closed()


Crashes.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
TestCrashes = Crashes.TestCase
