import os
import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paas.errors import Conflict, HostProblem, NotFound
from paas.model.env import Secret
from paas.model.process import ProcessType
from paas.model.release import BuildResult, BuildStatus, ReleaseStatus
from paas.model.route import PortMap
from paas.state import State
from paas.state.db import migrations


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "paas.db")


def release(state, app="shop", **changes):
    given = {
        "app": app, "build_id": 1, "image": "i", "processes": (ProcessType(name="web", argv=("/x", "y")),), "ports": (5000,),
        "config": {"A": "1"}, "formation": {"web": 1}, "actor": "me", "cause": "git push", "revision": "abc", "now": 7.0,
    }  # fmt: skip
    return state.releases.append(**{**given, **changes})


def test_the_file_is_readable_by_its_owner_only(state):
    state.apps.list()
    assert state.db.file.stat().st_mode & 0o777 == 0o600


def test_numbers_are_the_smallest_unused(state):
    assert [state.apps.create(n, 0).number for n in ("a", "b", "c")] == [1, 2, 3]
    state.apps.destroy("b")
    assert state.apps.create("d", 0).number == 2
    assert state.apps.create("e", 0).number == 4


def test_an_unknown_app_is_not_found_with_dokkus_exit_code(state):
    assert state.apps.find("shop") is None
    with pytest.raises(NotFound, match="App shop does not exist") as caught:
        state.apps.get("shop")
    assert caught.value.exit_code == 20


def test_a_taken_name_is_a_conflict_and_changes_nothing(state):
    state.apps.create("shop", 1)
    with pytest.raises(Conflict):
        state.apps.create("shop", 2)
    assert state.apps.get("shop").created_at == 1


def test_scaling_and_restarting_are_kept_apart(state):
    state.apps.create("shop", 0)
    state.apps.scale("shop", {"web": 3})
    assert state.apps.bump_generations("shop", ["web", "worker"]) == {"web": 1, "worker": 1}
    state.apps.scale("shop", {"web": 0})
    assert state.apps.formation("shop") == {"web": 0}
    assert state.apps.bump_generations("shop", ["web"]) == {"web": 2, "worker": 1}


def test_flags_of_an_app_are_kept(state):
    state.apps.create("shop", 0)
    state.apps.set_stopped("shop", True)
    state.apps.set_locked("shop", True)
    app = state.apps.set_deploy_branch("shop", "main")
    assert (app.is_stopped, app.is_locked, app.deploy_branch) == (True, True, "main")


def fill(state, app):
    state.apps.create(app, 0)
    state.apps.scale(app, {"web": 2})
    state.config.set(app, {"A": "1"})
    state.properties.set(app, "nginx", "client-max-body-size", "2m")
    state.routes.set_domains(app, ("a.example.com",))
    state.routes.set_ports(app, (PortMap(scheme="http", host=80, container=5000),))
    state.builds.start(app, "me", "git push", "abc", 0)
    release(state, app)
    state.events.record(app, "me", "deploy", "v1", 0)


def test_a_rename_takes_everything_along(state):
    fill(state, "shop")
    state.apps.rename("shop", "store")
    assert state.apps.find("shop") is None
    assert state.apps.formation("store") == {"web": 2}
    assert state.config.get("store") == {"A": "1"}
    assert state.properties.get("store", "nginx") == {"client-max-body-size": "2m"}
    assert state.routes.domains("store") == ("a.example.com",)
    assert len(state.routes.ports("store")) == len(state.builds.list("store")) == len(state.releases.list("store")) == 1
    assert [e.event for e in state.events.list("store")] == ["deploy"]


def test_a_destroyed_app_leaves_only_its_events(state):
    fill(state, "shop")
    state.apps.destroy("shop")
    state.apps.create("shop", 0)
    assert state.apps.formation("shop") == state.config.get("shop") == state.properties.get("shop", "nginx") == {}
    assert state.routes.domains("shop") == state.routes.ports("shop") == ()
    assert state.builds.list("shop") == state.releases.list("shop") == ()
    assert [e.event for e in state.events.list("shop")] == ["deploy"]


KEYS = st.from_regex(r"[A-Z_]{1,5}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(KEYS, VALUES))
def test_config_values_survive_byte_for_byte(tmp_path_factory, values):
    state = State(tmp_path_factory.mktemp("s") / "paas.db")
    state.config.set("shop", values)
    assert State(state.db.file).config.get("shop") == values


def test_config_of_an_app_wins_over_the_global_one_and_never_shows_itself(state):
    assert state.config.set("", {"A": "global", "B": "global"})
    assert state.config.set("shop", {"A": "own"})
    assert not state.config.set("shop", {"A": "own"})
    merged = state.config.merged("shop")
    assert merged == {"A": "own", "B": "global"}
    assert all(isinstance(value, Secret) for value in merged.values())
    assert "own" not in repr(merged)
    assert state.config.unset("shop", ["A", "NOT_THERE"])
    assert not state.config.unset("shop", ["A"])


def test_an_apps_property_wins_over_the_global_one_and_empty_clears(state):
    state.properties.set("", "nginx", "hsts", "true")
    state.properties.set("shop", "nginx", "hsts", "false")
    assert state.properties.merged("shop") == {"nginx.hsts": "false"}
    state.properties.set("shop", "nginx", "hsts", "")
    assert state.properties.merged("shop") == {"nginx.hsts": "true"}


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


def test_a_release_reads_back_as_it_was_written(state):
    state.apps.create("shop", 0)
    written = release(state, config={"A": "x\n'y'"})
    assert written.version == 1
    assert written.config == {"A": "x\n'y'"}
    assert written.processes == (ProcessType(name="web", argv=("/x", "y")),)
    assert "x\\n" not in repr(written)
    assert state.releases.get("shop", 1) == written


def test_one_release_is_current(state):
    state.apps.create("shop", 0)
    for _ in range(3):
        release(state)
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


def test_promoting_what_is_not_there_keeps_the_current_release(state):
    state.apps.create("shop", 0)
    release(state)
    state.releases.promote("shop", 1)
    with pytest.raises(NotFound, match="shop has no release v9"):
        state.releases.promote("shop", 9)
    assert state.releases.current("shop").version == 1


def test_nothing_is_recorded_for_an_app_that_is_gone(state):
    with pytest.raises(NotFound, match="does not exist any more"):
        state.builds.start("shop", "me", "push", "r", 1)


def test_what_fails_in_a_transaction_never_was(state):
    state.apps.create("shop", 0)
    with pytest.raises(RuntimeError), state.transaction():
        state.config.set("shop", {"A": "1"})
        with state.transaction():
            state.apps.set_stopped("shop", True)
        raise RuntimeError
    assert state.config.get("shop") == {}
    assert not state.apps.get("shop").is_stopped


def test_domains_keep_their_order_and_come_once(state):
    state.routes.set_domains("shop", ("b", "a"))
    state.routes.add_domains("shop", ("c", "a"))
    assert state.routes.domains("shop") == ("b", "a", "c")
    state.routes.remove_domains("shop", ("b",))
    assert state.routes.domains("shop") == ("a", "c")
    state.routes.clear_domains("shop")
    assert state.routes.domains("shop") == ()


def test_a_key_comes_in_once_under_one_name(state):
    state.access.add_key("me", "ssh-ed25519 AAA", "SHA256:a", 1)
    with pytest.raises(Conflict, match="'me' exists"):
        state.access.add_key("me", "ssh-ed25519 BBB", "SHA256:b", 1)
    with pytest.raises(Conflict, match="known already, as 'me'"):
        state.access.add_key("you", "ssh-ed25519 AAA", "SHA256:a", 1)
    state.access.remove_key("me")
    with pytest.raises(NotFound):
        state.access.remove_key("me")
    assert state.access.keys() == ()


def test_events_are_listed_oldest_first(state):
    for number in range(5):
        state.events.record("a" if number % 2 else "b", "me", "x", str(number), number)
    assert [e.detail for e in state.events.list(limit=3)] == ["2", "3", "4"]
    assert [e.detail for e in state.events.list("a")] == ["1", "3"]


def test_a_forked_child_and_threads_use_connections_of_their_own(state):
    state.apps.create("parent", 0)
    child = os.fork()
    if child == 0:
        state.apps.create("child", 0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    thread = threading.Thread(target=lambda: state.apps.create("thread", 0))
    thread.start()
    thread.join()
    assert sorted(app.number for app in state.apps.list()) == [1, 2, 3]


def test_no_connection_crosses_a_fork(state):
    state.apps.create("parent", 0)
    before = [name for name in os.listdir("/proc/self/fd") if is_open(name, state.db.file)]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, bytes(any(is_open(name, state.db.file) for name in os.listdir("/proc/self/fd"))) or b"none")
        os._exit(0)
    os.waitpid(child, 0)
    assert before
    assert os.read(reader, 10) == b"none"


def is_open(descriptor, file):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(file))
    except FileNotFoundError:
        return False


def test_a_new_file_opened_by_many_at_once_is_made_once(tmp_path):
    children = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            State(tmp_path / "paas.db").apps.create(f"app{number}", 0)
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8


def test_a_fork_in_a_transaction_leaves_it_to_the_parent(state):
    with state.transaction():
        state.apps.create("parent", 0)
        child = os.fork()
        if child == 0:
            found = [app.name for app in state.apps.list()]
            os._exit(0 if found == [] else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert [app.name for app in state.apps.list()] == ["parent"]


def test_apps_created_at_once_get_different_numbers(state):
    state.apps.list()
    children = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            state.apps.create(f"app{number}", 0)
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8
    assert sorted(app.number for app in state.apps.list()) == list(range(1, 9))


def test_a_damaged_file_is_a_problem_of_the_host(tmp_path):
    (tmp_path / "paas.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(HostProblem, match=r"paas\.db"):
        State(tmp_path / "paas.db").apps.list()


def test_a_database_of_a_newer_program_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "paas.db") as connection:
        connection.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    with pytest.raises(HostProblem, match="newer version"):
        State(tmp_path / "paas.db").apps.list()
