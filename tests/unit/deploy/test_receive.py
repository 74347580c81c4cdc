import pytest

from paas.deploy.receive import deploying_update
from paas.errors import InvalidInput
from paas.model.app import App
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
