"""Control groups of this machine, v1 and v2 trees alike: what lives in one is ended, and it is gone."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.engines.embedded.cgroups import MOVES_THREAD, Hierarchies, children, end, expect_moves, hierarchies, members, own_cgroup

pytestmark = pytest.mark.integration


def trees() -> list[Hierarchies]:
    """Return each kind of tree that is mounted here, alone."""
    found = hierarchies()
    kinds = [Hierarchies(unified=found.unified)] if found.unified is not None else []
    return [*kinds, *([Hierarchies(unified=None, controllers=found.controllers)] if found.controllers else [])]


@pytest.fixture(params=range(len(trees())))
def tree(request: pytest.FixtureRequest) -> Iterator[Hierarchies]:
    chosen = trees()[request.param]
    yield chosen
    assert end(chosen, f"/paas-test-{os.getpid()}")


def test_what_lives_in_a_control_group_is_ended_with_it(tree: Hierarchies) -> None:
    group = f"/paas-test-{os.getpid()}"
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    for name, sleeper in zip(("outer", "outer/inner"), sleepers, strict=True):
        for root in tree.roots:
            directory = root / group.lstrip("/") / name
            directory.mkdir(parents=True, exist_ok=True)
            if Path(root, "cpuset.cpus").exists():  # a new v1 cpuset takes nobody before it has processors
                for file in ("cpuset.cpus", "cpuset.mems"):
                    for level in (directory.parent, directory):
                        (level / file).write_text((root / file).read_text())
            (directory / "cgroup.procs").write_text(str(sleeper.pid))
    assert members(tree, f"{group}/outer") == tuple(sorted(s.pid for s in sleepers))
    assert children(tree, group) == ("outer",)
    assert end(tree, f"{group}/outer")
    assert [sleeper.wait(10) for sleeper in sleepers] == [-9, -9]
    assert children(tree, group) == ()
    assert end(tree, f"{group}/outer")  # nothing is fine


def _wait_for_moves() -> None:
    for thread in threading.enumerate():
        if thread.name == MOVES_THREAD:
            thread.join(10)


def test_the_kernel_is_made_ready_by_a_move_to_where_we_are(tmp_path: Path) -> None:
    own = tmp_path / own_cgroup(Path("/proc/self/cgroup").read_text())
    own.mkdir(parents=True, exist_ok=True)
    expect_moves(Hierarchies(unified=tmp_path))
    _wait_for_moves()
    assert (own / "cgroup.procs").read_text() == "0"


def test_nothing_has_moved_by_it() -> None:
    before = Path("/proc/self/cgroup").read_text()
    expect_moves(hierarchies())
    _wait_for_moves()
    assert Path("/proc/self/cgroup").read_text() == before


def test_a_machine_that_does_not_let_us_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    expect_moves(Hierarchies(unified=tmp_path / "missing"))
    _wait_for_moves()
    expect_moves(Hierarchies(unified=None))
    assert failures == []
