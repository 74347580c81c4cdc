"""Random commands, any of which may be killed after any step: routes never lead to what is gone, and intent and fact agree
once `reconcile` has run.

Each command runs in a fork on the real ledger. Containers and proxy are in files, as the kernel and nginx are outside of us;
`os._exit` after the n-th change of any of them is a `kill -9`: no handler runs, no lock is given back by hand.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from paas.context import Context, Identity
from paas.deploy import apps, config, ledger, processes, receive, rollback, rollout
from paas.deploy.intent import current_deployment
from paas.deploy.retire import Retirement
from paas.errors import PaasError
from paas.host import git
from paas.model.container import LABEL_TYPE, process_of
from paas.model.process import ProcessType
from paas.model.release import BuildResult, BuildStatus, ReleaseStatus
from paas.model.source import Source
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings
from paas.state import State
from unit.deploy.conftest import FakeBuilder, FakeEngine, FakeProxy, FakeScheduler

APP = "shop"
KILLED = 137
#: Every other command lives; the longest has about as many steps.
KILLS = st.one_of(st.just(0), st.integers(1, 55))
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
        self._file, self._killer = file, killer

    def __setitem__(self, key: Any, value: Any) -> None:
        self._killer.step()
        super().__setitem__(key, value)
        self._write()

    def __delitem__(self, key: Any) -> None:
        self._killer.step()
        super().__delitem__(key)
        self._write()

    def pop(self, key: Any, *default: Any) -> Any:
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
    """One machine: its directories, and what survives a process."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="paas-crashes-", dir="/dev/shm"))
        self.tree = self.base / "tree"
        self.tree.mkdir()
        (self.tree / "code").write_text("x")
        self.context()

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
            scheduler=FakeScheduler(engine, failing=set(failing), retired=self._stored("retired", killer)),
            proxy=FakeProxy(served=self._stored("served", killer)),
            builders=(FakeBuilder(result=result),),
            output=Output(io.StringIO(), io.StringIO()),
            identity=Identity(name="alice", is_admin=False),
        )

    def _stored(self, name: str, killer: Killer) -> Any:
        return Stored(self.base / f"{name}.pickle", killer)

    def run(self, command: Callable[[Context], object], *, failing: frozenset[str], kill_after: int) -> int:
        """Run a command in a process of its own; return 0, 1 for an error that it explained, or KILLED."""
        pid = os.fork()
        if pid == 0:
            code = os.EX_SOFTWARE
            try:
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


class Crashes(RuleBasedStateMachine):
    """One app and its life."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def teardown(self) -> None:
        shutil.rmtree(self.world.base)

    def do(self, command: Callable[[Context], object], kill_after: int, failing: frozenset[str] = frozenset()) -> None:
        """Run a command, see that visitors noticed nothing, let the supervisor do its work."""
        with_git = functools.partial(_without_git, command)
        assert self.world.run(with_git, failing=failing, kill_after=kill_after) in (0, 1, KILLED)
        self.routes_lead_to_what_runs()
        self.world.converge()

    # -- commands

    @initialize()
    def push_first(self) -> None:
        self._push(0, frozenset())

    @rule(kill_after=KILLS, failing=st.sampled_from([frozenset(), frozenset({"web"}), frozenset({"worker"})]))
    def push(self, kill_after: int, failing: frozenset[str]) -> None:
        self._push(kill_after, failing)

    def _push(self, kill_after: int, failing: frozenset[str]) -> None:
        def command(ctx: Context) -> None:
            app = ctx.state.apps.find(APP) or apps.create(ctx, APP)
            receive.deploy_source(ctx, app, Source(tree=self.world.tree, revision="abc"), cause="git push")

        self.do(command, kill_after, failing)

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

    # -- what must hold

    def routes_lead_to_what_runs(self) -> None:
        """No visitor is sent to a container that is gone, whatever was just killed."""
        ctx = self.world.context()
        running = {c.address for c in ctx.engine.containers.values() if c.is_running}
        if APP in ctx.proxy.served:
            assert {address.partition(":")[0] for address in ctx.proxy.upstreams(APP)} <= running

    @invariant()
    def fact_is_what_is_intended(self) -> None:
        """After reconcile just the processes of the current release run, and the routes lead to all its web processes."""
        ctx = self.world.context()
        app = ctx.state.apps.find(APP)
        deployment = current_deployment(ctx, app) if app is not None else None
        running = [c for c in ctx.engine.containers.values() if c.is_running]
        assert sorted(str(process_of(c)) for c in running) == sorted(map(str, deployment.wanted() if deployment else ()))
        if deployment is not None:
            assert {c.id for c in running} == {c.id for c in ctx.scheduler.serving(deployment)}
        if APP in ctx.proxy.served:
            routed = {address.partition(":")[0] for address in ctx.proxy.upstreams(APP)}
            assert routed == {c.address for c in running if c.labels[LABEL_TYPE] == "web"}

    @invariant()
    def the_ledger_is_closed(self) -> None:
        """No build and no release is left open, and the app's config vars are those of its current release."""
        ctx = self.world.context()
        if ctx.state.apps.find(APP) is None:
            return
        assert BuildStatus.RUNNING not in {build.status for build in ctx.state.builds.list(APP)}
        assert ReleaseStatus.PENDING not in {release.status for release in ctx.state.releases.list(APP)}
        current = ctx.state.releases.current(APP)
        app = ctx.state.apps.get(APP)
        if current is not None and not app.is_stopped:
            assert ctx.state.config.merged(APP) == current.config


def _without_git(command: Callable[[Context], object], ctx: Context) -> object:
    """Run the command without repositories: this is a process of its own, nothing needs to be put back."""
    git.ensure_repo = lambda *args, **kwargs: None  # type: ignore[assignment]
    with contextlib.suppress(KeyboardInterrupt):
        return command(ctx)


Crashes.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestCrashes = Crashes.TestCase
