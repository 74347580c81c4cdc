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
    state.releases.promote("shop", 1, 8.0)
    state.releases.promote("shop", 3, 9.0)
    state.releases.promote("shop", 3, 9.0)
    assert state.releases.current("shop").version == 3
    assert [r.status for r in state.releases.list("shop")] == [
        ReleaseStatus.CURRENT, ReleaseStatus.PENDING, ReleaseStatus.SUPERSEDED,
    ]  # fmt: skip
    with pytest.raises(Conflict):
        state.releases.mark("shop", 2, ReleaseStatus.CURRENT, 9.0)


def test_promoting_what_is_not_there_keeps_the_current_release(state, append):
    state.apps.create("shop", 0)
    append()
    state.releases.promote("shop", 1, 8.0)
    with pytest.raises(NotFound, match="shop has no release v9"):
        state.releases.promote("shop", 9, 9.0)
    assert state.releases.current("shop").version == 1


def test_a_release_says_when_it_served_and_what_config_it_changed(state, append):
    state.apps.create("shop", 0)
    first = append(config={"A": "1"})
    assert (first.diff, first.live_at, first.ended_at) == (("+A",), 0, 0)
    state.releases.promote("shop", 1, 10.0)
    second = append(config={"A": "2", "B": "1"})
    assert second.diff == ("~A", "+B")
    assert state.releases.pending("shop") == (second,)
    state.releases.promote("shop", 2, 20.0)
    state.releases.mark("shop", append().version, ReleaseStatus.FAILED, 30.0)
    times = [(r.version, r.live_at, r.ended_at) for r in state.releases.list("shop")]
    assert times == [(3, 0, 30.0), (2, 20.0, 0), (1, 10.0, 20.0)]
    assert state.releases.pending("shop") == ()
