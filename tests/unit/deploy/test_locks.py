import pytest

from paas.deploy import apps, receive
from paas.errors import Conflict, NotFound
from paas.model.source import RefUpdate

PUSH = RefUpdate(old="0" * 40, new="a" * 40, ref="refs/heads/master", actor="me")


def test_a_locked_app_takes_no_push_and_no_rebuild(ctx):
    apps.create(ctx, "shop")
    apps.set_locked(ctx, "shop", True)
    with pytest.raises(Conflict, match="Deploys of shop are locked"):
        receive.receive(ctx, "shop", [PUSH])
    with pytest.raises(Conflict, match="Deploys of shop are locked"):
        receive.rebuild(ctx, "shop")
    assert ctx.state.builds.list("shop") == ()
    assert ctx.state.apps.get("shop").deploy_branch == ""


def test_locking_and_unlocking_are_recorded(ctx):
    apps.create(ctx, "shop")
    apps.set_locked(ctx, "shop", True)
    apps.set_locked(ctx, "shop", False)
    assert [e.event for e in ctx.state.events.list("shop")][-2:] == ["apps:lock", "apps:unlock"]
    with pytest.raises(NotFound):
        apps.set_locked(ctx, "nope", True)
