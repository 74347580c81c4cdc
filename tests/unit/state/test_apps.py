import os

import pytest

from paas.errors import Conflict, NotFound
from paas.model.route import PortMap


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


def fill(state, append, app):
    state.apps.create(app, 0)
    state.apps.scale(app, {"web": 2})
    state.config.set(app, {"A": "1"})
    state.properties.set(app, "nginx", "client-max-body-size", "2m")
    state.routes.set_domains(app, ("a.example.com",))
    state.routes.set_ports(app, (PortMap(scheme="http", host=80, container=5000),))
    state.builds.start(app, "me", "git push", "abc", 0)
    append(app)
    state.events.record(app, "me", "deploy", "v1", 0)


def test_a_rename_takes_everything_along(state, append):
    fill(state, append, "shop")
    state.apps.rename("shop", "store")
    assert state.apps.find("shop") is None
    assert state.apps.formation("store") == {"web": 2}
    assert state.config.get("store") == {"A": "1"}
    assert state.properties.get("store", "nginx") == {"client-max-body-size": "2m"}
    assert state.routes.domains("store") == ("a.example.com",)
    assert len(state.routes.ports("store")) == len(state.builds.list("store")) == len(state.releases.list("store")) == 1
    assert [e.event for e in state.events.list("store")] == ["deploy"]


def test_a_destroyed_app_leaves_only_its_events(state, append):
    fill(state, append, "shop")
    state.apps.destroy("shop")
    state.apps.create("shop", 0)
    assert state.apps.formation("shop") == state.config.get("shop") == state.properties.get("shop", "nginx") == {}
    assert state.routes.domains("shop") == state.routes.ports("shop") == ()
    assert state.builds.list("shop") == state.releases.list("shop") == ()
    assert [e.event for e in state.events.list("shop")] == ["deploy"]


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
