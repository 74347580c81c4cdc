from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paas.model.process import ProcessType
from paas.model.release import Release
from paas.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "paas.db")


@pytest.fixture
def append(state: State) -> Callable[..., Release]:
    """Return a function that appends a release, `changes` over usual values."""

    def append_release(app: str = "shop", **changes) -> Release:
        given = {
            "app": app, "build_id": 1, "image": "i", "processes": (ProcessType(name="web", argv=("/x", "y")),), "ports": (5000,),
            "config": {"A": "1"}, "formation": {"web": 1}, "actor": "me", "cause": "git push", "revision": "abc", "now": 7.0,
        }  # fmt: skip
        return state.releases.append(**{**given, **changes})

    return append_release
