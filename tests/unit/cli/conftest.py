from __future__ import annotations

import io

import pytest

from paas.cli import root
from paas.context import Context, Identity
from paas.output import Output
from paas.paths import Paths
from paas.settings import Settings
from paas.state import State


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
