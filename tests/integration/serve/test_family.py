"""The children of the server's parent end when they are told, however young they are."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.serve import family
from paas.serve.family import Child, Family
from paas.serve.stop import StopSignal

pytestmark = pytest.mark.integration


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[StopSignal]:
    monkeypatch.setattr(family, "STOP_TIMEOUT_S", 10)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopSignal()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_child_that_is_told_to_end_before_it_listens_ends(stop: StopSignal, tmp_path: Path) -> None:
    def work() -> None:
        time.sleep(1)
        (tmp_path / "went on").touch()

    children = Family([Child(name="young", work=work, keeps=())], stop)
    children.start()
    children.stop()
    assert not (tmp_path / "went on").exists()
    assert not stop.is_set


def test_a_child_that_listens_ends_in_its_own_way(stop: StopSignal, tmp_path: Path) -> None:
    def work() -> None:
        own = StopSignal()
        (tmp_path / "listens").touch()
        while not own.is_set:
            time.sleep(0.01)
        (tmp_path / "ended well").touch()

    children = Family([Child(name="grown", work=work, keeps=())], stop)
    children.start()
    while not (tmp_path / "listens").exists():
        time.sleep(0.01)
    children.stop()
    assert (tmp_path / "ended well").exists()
