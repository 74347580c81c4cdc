"""Apps and releases against a model of them: whatever happens in whatever order, the ledger keeps its promises."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paas.errors import Conflict, NotFound
from paas.model.release import ReleaseStatus
from paas.state import State

NAMES = st.sampled_from(["a", "b", "c"])


class Ledger(RuleBasedStateMachine):
    """`apps` is what should be there: name -> (number, statuses of its releases, oldest first)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.state = State(Path(self.folder.name) / "paas.db")
        self.apps: dict[str, tuple[int, list[ReleaseStatus]]] = {}

    def teardown(self) -> None:
        self.state.db.close()
        self.folder.cleanup()

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        if name in self.apps:
            with pytest.raises(Conflict):
                self.state.apps.create(name, 0)
            return
        taken = {number for number, _ in self.apps.values()}
        self.apps[name] = (min(set(range(1, 5)) - taken), [])
        assert self.state.apps.create(name, 0).number == self.apps[name][0]

    @rule(name=NAMES)
    def destroy(self, name: str) -> None:
        self.apps.pop(name, None)
        self.state.apps.destroy(name)

    @precondition(lambda self: self.apps)
    @rule(new=NAMES, data=st.data())
    def rename(self, new: str, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(sorted(self.apps)))
        if new in self.apps:
            if new != old:
                with pytest.raises(Conflict):
                    self.state.apps.rename(old, new)
            return
        self.apps[new] = self.apps.pop(old)
        self.state.apps.rename(old, new)

    @rule(name=NAMES)
    def append(self, name: str) -> None:
        given = {
            "app": name, "build_id": 1, "image": "i", "processes": (), "ports": (), "config": {}, "formation": {}, "actor": "",
            "cause": "", "now": 0.0,
        }  # fmt: skip
        if name not in self.apps:
            with pytest.raises(NotFound):
                self.state.releases.append(**given)
            return
        statuses = self.apps[name][1]
        statuses.append(ReleaseStatus.PENDING)
        assert self.state.releases.append(**given).version == len(statuses)

    @rule(name=NAMES, version=st.integers(1, 4))
    def promote(self, name: str, version: int) -> None:
        statuses = self.apps.get(name, (0, []))[1]
        if version > len(statuses):
            with pytest.raises(NotFound):
                self.state.releases.promote(name, version, 0.0)
            return
        self.state.releases.promote(name, version, 0.0)
        statuses[:] = [ReleaseStatus.SUPERSEDED if s is ReleaseStatus.CURRENT else s for s in statuses]
        statuses[version - 1] = ReleaseStatus.CURRENT

    @rule(name=NAMES)
    def fail(self, name: str) -> None:
        statuses = self.apps.get(name, (0, []))[1]
        if statuses:
            self.state.releases.mark(name, len(statuses), ReleaseStatus.FAILED, 0.0)
            statuses[-1] = ReleaseStatus.FAILED

    @rule(name=NAMES)
    def change_nothing_in_a_transaction_that_fails(self, name: str) -> None:
        with pytest.raises(KeyboardInterrupt), self.state.transaction():
            self.state.apps.destroy(name)
            self.state.apps.create(name, 0)
            raise KeyboardInterrupt

    @invariant()
    def is_as_the_model_says(self) -> None:
        assert {app.name: app.number for app in self.state.apps.list()} == {n: number for n, (number, _) in self.apps.items()}
        for name, (_, statuses) in self.apps.items():
            found = self.state.releases.list(name)
            assert [(r.version, r.status) for r in reversed(found)] == list(enumerate(statuses, start=1))
            current = self.state.releases.current(name)
            assert (current.version if current else None) == next(
                (i for i, s in enumerate(statuses, start=1) if s is ReleaseStatus.CURRENT), None
            )


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
