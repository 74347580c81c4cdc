"""Renames, and names that are taken."""

from __future__ import annotations

import pytest

from paas.deploy import apps
from paas.deploy.queue import app_turn
from paas.deploy.retire import Retirement
from paas.errors import Conflict, InvalidInput
from paas.model.container import KIND_PROCESS, LABEL_APP, LABEL_KIND, PLATFORM, Container, ContainerStatus


def test_an_app_does_not_wait_for_itself_to_get_its_own_name(ctx):
    apps.create(ctx, "shop")
    with pytest.raises(InvalidInput, match="shop has that name already"):
        apps.rename(ctx, "shop", "shop")


def test_what_a_rename_has_started_under_the_new_name_is_no_orphan(ctx):
    container = Container(
        id="c1", name="store.web.1", image="i", tenant=PLATFORM, argv=("x",), status=ContainerStatus.CREATED, created_at=0,
        labels={LABEL_APP: "store", LABEL_KIND: KIND_PROCESS},
    )  # fmt: skip
    ctx.engine.containers["c1"] = container
    retirement = Retirement()
    with app_turn(ctx, "store", "apps:rename"):
        retirement.adopt_orphans(ctx)
        retirement.step(ctx)
    assert ctx.engine.list() == (container,)
    retirement.adopt_orphans(ctx)
    retirement.step(ctx)
    assert ctx.engine.list() == ()


def test_no_app_takes_the_domain_of_another_with_its_name(ctx):
    apps.create(ctx, "shop")
    ctx.state.routes.set_domains("shop", ("shop.localhost", "blog.localhost"))
    with pytest.raises(Conflict, match=r"blog\.localhost belongs to shop"):
        apps.create(ctx, "blog")
    apps.create(ctx, "news")
    with pytest.raises(Conflict, match=r"blog\.localhost belongs to shop"):
        apps.rename(ctx, "news", "blog")
    assert [app.name for app in ctx.state.apps.list()] == ["news", "shop"]
