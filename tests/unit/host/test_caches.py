"""Caches of builds: bounded, the last used kept, and never taken from a step that uses one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from paas.host.caches import claim, make_cache, open_lock, prune_caches, share


def cache(place: Path, name: str, *, used_at: int) -> Path:
    directory = place / name
    with contextlib.ExitStack() as stack:
        descriptor = open_lock(directory, stack)
        make_cache(directory, lambda fresh: (fresh / "file").write_bytes(b"x" * 10_000))
        os.utime(descriptor, (used_at, used_at))
    return directory


def test_what_is_beyond_the_bound_goes_the_longest_unused_first(tmp_path: Path) -> None:
    old, new, middle = (cache(tmp_path / p, n, used_at=t) for p, n, t in (("a", "1", 1), ("b", "2", 3), ("a", "3", 2)))
    assert prune_caches([tmp_path / "a", tmp_path / "b", tmp_path / "gone"], max_bytes=30_000) == (old,)
    assert [path.is_dir() for path in (old, new, middle)] == [False, True, True]
    assert set(prune_caches([tmp_path / "a", tmp_path / "b"], max_bytes=0)) == {new, middle}


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    used = cache(tmp_path, "used", used_at=1)
    with contextlib.ExitStack() as stack:
        share(open_lock(used, stack))
        assert prune_caches([tmp_path], max_bytes=0) == ()
    assert prune_caches([tmp_path], max_bytes=0) == (used,)


def test_one_may_have_it_alone_or_several_together(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        one, two = (open_lock(tmp_path / "c", stack) for _ in range(2))
        share(one)
        assert not claim(two)
        share(two)
    with contextlib.ExitStack() as stack:
        one, two = (open_lock(tmp_path / "c", stack) for _ in range(2))
        assert claim(one) and not claim(two)


def test_the_first_to_make_a_cache_wins(tmp_path: Path) -> None:
    directory = tmp_path / "c"

    def slower(fresh: Path) -> None:
        (fresh / "slow").touch()
        make_cache(directory, lambda other: (other / "quick").touch())

    make_cache(directory, slower)
    assert [path.name for path in directory.iterdir()] == ["quick"]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
