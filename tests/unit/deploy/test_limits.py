"""What a one-off container may use."""

from __future__ import annotations

from dataclasses import replace

from paas.deploy import apps
from paas.deploy.tasks import oneoff_spec
from paas.model.container import KIND_RUN, Limits
from paas.model.process import ProcessType
from paas.model.release import Release, ReleaseStatus


def test_a_one_off_container_is_limited_like_the_processes_of_its_app(ctx, monkeypatch):
    monkeypatch.setattr(ctx.engine, "image_entrypoint", lambda _image: (), raising=False)
    ctx = replace(ctx, settings=replace(ctx.settings, pids=100, memory_mb=64))
    app = apps.create(ctx, "shop")
    release = Release(
        app="shop", version=1, build_id=1, image="image-1", processes=(), ports=(), config={}, formation={},
        status=ReleaseStatus.CURRENT, actor="alice", cause="git push", created_at=0,
    )  # fmt: skip

    def limits() -> Limits:
        return oneoff_spec(ctx, app, release, ProcessType(name="run", command="ls"), kind=KIND_RUN).limits

    assert limits() == Limits(memory_bytes=64 << 20, pids=100)
    ctx.state.properties.set("shop", "resource", "limit.memory", "32")
    assert limits().memory_bytes == 32 << 20
