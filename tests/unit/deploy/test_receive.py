import contextlib

import pytest

from paas.deploy import apps, receive
from paas.deploy.receive import deploying_update
from paas.errors import Conflict, InvalidInput
from paas.host import git
from paas.model.app import App
from paas.model.release import BuildStatus
from paas.model.source import RefUpdate

NEW, GONE = "a" * 40, "0" * 40


def update(ref: str, new: str = NEW) -> RefUpdate:
    return RefUpdate(old=GONE, new=new, ref=ref, actor="me")


def app(branch: str = "") -> App:
    return App(name="shop", number=1, created_at=0, deploy_branch=branch)


@pytest.mark.parametrize(
    ("branch", "refs", "chosen"),
    [
        ("", ["refs/heads/feature"], "feature"),
        ("", ["refs/heads/feature", "refs/heads/main"], "main"),
        ("", ["refs/tags/v1"], None),
        ("main", ["refs/heads/feature"], None),
        ("main", ["refs/heads/feature", "refs/heads/main"], "main"),
        ("master", ["refs/heads/main"], None),
    ],
)
def test_the_deploy_branch_deploys(branch, refs, chosen):
    found = deploying_update(app(branch), [update(ref) for ref in refs])
    assert (found.branch if found else None) == chosen


def test_the_deploy_branch_cannot_be_deleted():
    with pytest.raises(InvalidInput, match="cannot be deleted"):
        deploying_update(app("main"), [update("refs/heads/main", GONE)])


def test_another_branch_can_be_deleted():
    assert deploying_update(app("main"), [update("refs/heads/old", GONE)]) is None


def test_deleting_from_a_fresh_app_deploys_nothing():
    assert deploying_update(app(), [update("refs/heads/old", GONE)]) is None


@pytest.mark.parametrize(
    ("history", "pushed_by", "is_refused"),
    [
        ("seen present", "bob", False),  # it builds on what came meanwhile
        ("seen", "bob", True),  # it would undo somebody else's
        ("seen", "", True),
        ("seen", "alice", False),  # a commit that its author amended meanwhile
        ("", "bob", False),  # forced past what its sender saw
    ],
)
def test_a_push_that_waited_undoes_only_what_it_may(ctx, monkeypatch, history, pushed_by, is_refused):
    shop = apps.create(ctx, "shop")
    if pushed_by:
        build = ctx.state.builds.start("shop", pushed_by, "git push", "present", 1.0)
        ctx.state.builds.finish(build.id, BuildStatus.SUCCEEDED, 2.0)
    monkeypatch.setattr(git, "contains", lambda repo, revision, ancestor: ancestor in history.split())
    pushed = RefUpdate(old="seen", new="new", ref="refs/heads/master", actor="alice")
    with pytest.raises(Conflict, match="does not hold that") if is_refused else contextlib.nullcontext():
        receive._refuse_overtaken(ctx, shop, pushed, "present")
