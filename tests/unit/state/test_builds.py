import pytest

from paas.errors import NotFound
from paas.model.process import ProcessType
from paas.model.release import BuildResult, BuildStatus


def test_builds_are_numbered_for_each_app(state):
    state.apps.create("a", 0)
    state.apps.create("b", 0)
    assert [state.builds.start(app, "me", "push", "r", 1).number for app in ("a", "b", "a")] == [1, 1, 2]


def test_a_finished_build_tells_what_came_out(state):
    state.apps.create("a", 0)
    result = BuildResult(image="img", processes=(ProcessType(name="web", command="x 'y'"),), ports=(80, 81), builder="dockerfile")
    build = state.builds.finish(state.builds.start("a", "me", "push", "r", 1).id, BuildStatus.SUCCEEDED, 2, result)
    assert (build.image, build.processes, build.ports, build.builder) == ("img", result.processes, (80, 81), "dockerfile")


def test_running_builds_are_abandoned_after_a_boot(state):
    state.apps.create("a", 0)
    done = state.builds.finish(state.builds.start("a", "me", "push", "r", 1).id, BuildStatus.FAILED, 2, None)
    left = state.builds.start("a", "me", "push", "r", 3)
    assert state.builds.abandon_running(4) == 1
    assert state.builds.get(left.id).status is BuildStatus.ABANDONED
    assert state.builds.get(done.id).status is BuildStatus.FAILED


def test_nothing_is_recorded_for_an_app_that_is_gone(state):
    with pytest.raises(NotFound, match="does not exist any more"):
        state.builds.start("shop", "me", "push", "r", 1)
