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
    started = state.builds.start("a", "me", "push", "r", 1, pid=7)
    state.builds.note_image(started.id, result)
    build = state.builds.finish(started.id, BuildStatus.SUCCEEDED, 2)
    assert (started.pid, build.pid, build.finished_at) == (7, 0, 2)
    assert (build.image, build.processes, build.ports, build.builder) == ("img", result.processes, (80, 81), "dockerfile")


def test_running_builds_are_abandoned_after_a_boot(state):
    state.apps.create("a", 0)
    done = state.builds.finish(state.builds.start("a", "me", "push", "r", 1).id, BuildStatus.FAILED, 2)
    left = state.builds.start("a", "me", "push", "r", 3)
    assert state.builds.abandon_running(4) == 1
    assert state.builds.get(left.id).status is BuildStatus.ABANDONED
    assert state.builds.get(done.id).status is BuildStatus.FAILED


def test_nothing_is_recorded_for_an_app_that_is_gone(state):
    with pytest.raises(NotFound, match="does not exist any more"):
        state.builds.start("shop", "me", "push", "r", 1)


def test_what_has_ended_is_not_changed_nor_canceled_any_more(state):
    state.apps.create("a", 0)
    build = state.builds.start("a", "me", "push", "r", 1)
    assert state.builds.ask_to_cancel(build.id, "bob")
    state.builds.finish(build.id, BuildStatus.CANCELLED, 2)
    state.builds.finish(build.id, BuildStatus.SUCCEEDED, 3)
    assert not state.builds.ask_to_cancel(build.id, "eve")
    build = state.builds.get(build.id)
    assert (build.status, build.finished_at, build.canceled_by) == (BuildStatus.CANCELLED, 2, "bob")


def test_a_deploy_under_way_is_found_and_never_forgotten(state):
    state.apps.create("a", 0)
    state.apps.create("b", 0)
    old = state.builds.start("a", "me", "push", "r", 1)
    state.builds.finish(old.id, BuildStatus.SUCCEEDED, 2)
    running, other = state.builds.start("a", "me", "push", "r", 1), state.builds.start("b", "me", "push", "r", 1)
    assert [b.id for b in state.builds.running()] == [running.id, other.id]
    assert [b.id for b in state.builds.running("a")] == [running.id]
    state.builds.forget([old.id, running.id])
    assert [b.id for b in state.builds.list("a")] == [running.id]


def test_a_release_is_noted_in_the_deploy_that_makes_it(state, append):
    state.apps.create("shop", 0)
    deploy = state.builds.start("shop", "me", "git push", "r", 1)
    append()
    assert state.builds.get(deploy.id).release == 1
