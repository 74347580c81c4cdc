from __future__ import annotations

import io
from dataclasses import replace

import pytest

from paas.cli import root
from paas.context import Context, Identity
from paas.model.process import ProcessType
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings
from paas.state import State
from unit.deploy.conftest import FakeEngine, FakeProxy, FakeScheduler


class Cli:
    """Runs command lines against a real state; engine, scheduler and proxy are not there and must not be needed."""

    def __init__(self, tmp_path) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.ctx = Context(
            paths=Paths(root=tmp_path, run=tmp_path / "run", etc=tmp_path / "etc"), settings=Settings(),
            state=State(tmp_path / "paas.db"), engine=None, scheduler=None, proxy=None, builders=(),
            output=Output(self.out, self.err), identity=Identity(name="alice", is_admin=False),
        )  # fmt: skip

    def __call__(self, *argv: str) -> int:
        self.out.truncate(self.out.seek(0))
        self.err.truncate(self.err.seek(0))
        return root.run(argv, self.ctx)


@pytest.fixture
def cli(tmp_path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def deployed(cli) -> Cli:
    """The app shop with a web and a worker process, on an engine, a scheduler and a proxy in memory."""
    engine = FakeEngine()
    cli.ctx = replace(cli.ctx, engine=engine, scheduler=FakeScheduler(engine), proxy=FakeProxy())
    cli.ctx.state.apps.create("shop", 0)
    cli.ctx.state.config.set("shop", {"A": "old"})
    build = cli.ctx.state.builds.start("shop", "alice", "git push", "c0ffee1234", 1.0)
    cli.ctx.state.releases.append(
        app="shop", build_id=build.id, image="image-1", ports=(), config={"A": "old"}, formation={"web": 1}, actor="alice",
        processes=(ProcessType(name="web", command="serve"), ProcessType(name="worker", command="work")), cause="git push",
        revision="c0ffee1234", now=1.0,
    )  # fmt: skip
    cli.ctx.state.releases.promote("shop", 1, 2.0)
    assert cli("ps:start", "shop") == 0
    return cli
