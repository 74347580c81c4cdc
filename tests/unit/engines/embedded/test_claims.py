"""One winner for each name and address, also when its last holder died."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paas.engines.embedded.claims import Claims


def claims(tmp_path: Path, alive: set[str]) -> Claims:
    return Claims(directory=tmp_path / "names", exists=lambda container: container in alive)


def test_a_key_belongs_to_the_first_until_it_is_given_back(tmp_path: Path) -> None:
    names = claims(tmp_path, {"a", "b"})
    assert names.take("web", "a")
    assert names.take("web", "a")
    assert not names.take("web", "b")
    names.release("web", "b")
    assert names.holder("web") == "a"
    names.release("web", "a")
    assert names.take("web", "b")


def test_a_dead_holder_counts_for_nothing(tmp_path: Path) -> None:
    names = claims(tmp_path, {"b"})
    assert names.take("web", "dead")
    assert names.take("web", "b")


def test_dropping_stale_claims_leaves_the_others(tmp_path: Path) -> None:
    names = claims(tmp_path, {"a"})
    for key, container in (("web", "a"), ("db", "dead")):
        names.take(key, container)
    names.drop_stale()
    assert (names.holder("web"), names.holder("db")) == ("a", "")


def test_of_many_who_find_the_same_dead_holder_one_wins(tmp_path: Path) -> None:
    rivals = [f"c{number}" for number in range(8)]
    for turn in range(50):
        names = claims(tmp_path / str(turn), set(rivals))
        names.take("web", "dead")
        start = threading.Barrier(len(rivals) + 1)

        def rush(container: str, names: Claims = names, start: threading.Barrier = start) -> bool:
            start.wait()
            return names.take("web", container)

        def repair(names: Claims = names, start: threading.Barrier = start) -> bool:
            start.wait()
            names.drop_stale()
            return False

        with ThreadPoolExecutor(len(rivals) + 1) as pool:
            repairing = pool.submit(repair)
            won = [rival for rival, has_won in zip(rivals, pool.map(rush, rivals), strict=True) if has_won]
            repairing.result()
        assert won == [names.holder("web")]
