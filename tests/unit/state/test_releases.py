import pytest

from paas.errors import Conflict, NotFound
from paas.model.process import ProcessType
from paas.model.release import ReleaseStatus


def test_a_release_reads_back_as_it_was_written(state, append):
    state.apps.create("shop", 0)
    written = append(config={"A": "x\n'y'"})
    assert written.version == 1
    assert written.config == {"A": "x\n'y'"}
    assert written.processes == (ProcessType(name="web", argv=("/x", "y")),)
    assert "x\\n" not in repr(written)
    assert state.releases.get("shop", 1) == written


def test_one_release_is_current(state, append):
    state.apps.create("shop", 0)
    for _ in range(3):
        append()
    assert state.releases.current("shop") is None
    state.releases.promote("shop", 1)
    state.releases.promote("shop", 3)
    state.releases.promote("shop", 3)
    assert state.releases.current("shop").version == 3
    assert [r.status for r in state.releases.list("shop")] == [
        ReleaseStatus.CURRENT, ReleaseStatus.PENDING, ReleaseStatus.SUPERSEDED,
    ]  # fmt: skip
    with pytest.raises(Conflict):
        state.releases.mark("shop", 2, ReleaseStatus.CURRENT)


def test_promoting_what_is_not_there_keeps_the_current_release(state, append):
    state.apps.create("shop", 0)
    append()
    state.releases.promote("shop", 1)
    with pytest.raises(NotFound, match="shop has no release v9"):
        state.releases.promote("shop", 9)
    assert state.releases.current("shop").version == 1
