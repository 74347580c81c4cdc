"""The tree that a deploy works on."""

from __future__ import annotations

from paas.deploy import apps, receive
from paas.host import git


def test_what_a_killed_deploy_left_is_gone_with_the_next_or_with_the_app(ctx, monkeypatch):
    monkeypatch.setattr(git, "export_tree", lambda _repo, _revision, tree: tree.mkdir())
    monkeypatch.setattr(git, "subject", lambda _repo, _revision: "a change")
    app = apps.create(ctx, "shop")
    killed = receive.exported(ctx, app, "abc")
    left = killed.__enter__().tree / "left"
    left.touch()
    with receive.exported(ctx, app, "def") as source:
        assert list(source.tree.iterdir()) == []
    assert not source.tree.parent.exists()
    source.tree.mkdir(parents=True)
    apps.destroy(ctx, "shop")
    assert not source.tree.exists()
