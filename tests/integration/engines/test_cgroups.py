"""Control groups of this machine, v1 and v2 trees alike: what lives in one is ended, and it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.engines.embedded import cgroups
from paas.engines.embedded.cgroups import (
    MOVES_THREAD,
    Hierarchies,
    children,
    end,
    expect_moves,
    hierarchies,
    members,
    own_cgroup,
    prepare_host,
)  # fmt: skip
from paas.host import kernel

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
    expect_moves(Hierarchies(unified=hierarchies().unified))
    _wait_for_moves()
    assert Path("/proc/self/cgroup").read_text() == before


def _mounts() -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if " cgroup" in line]


def test_processes_move_at_once_where_the_kernel_can_and_nothing_else_changes() -> None:
    can = "favordynmods" in Path("/sys/kernel/cgroup/features").read_text().split()  # since Linux 6.0
    before = _mounts()
    done = prepare_host(favors_moves=True)
    assert len(done) == int(can and not any("favordynmods" in line for line in before))
    assert [line.replace(",favordynmods", "") for line in _mounts()] == [line.replace(",favordynmods", "") for line in before]
    assert hierarchies().favors_moves == can
    assert prepare_host(favors_moves=True) == ()
    expect_moves(Hierarchies(unified=hierarchies().unified, options=("rw", "favordynmods")))
    assert [thread for thread in threading.enumerate() if thread.name == MOVES_THREAD] == []


def test_mounts_stay_as_they_are_where_it_is_not_wanted_or_not_ours_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Hierarchies(unified=hierarchies().unified, options=("rw", "relatime"))  # as if it were off
    monkeypatch.setattr(cgroups, "hierarchies", lambda: plain)
    monkeypatch.setattr(kernel, "reconfigure", lambda *_: pytest.fail("a mount was changed"))
    assert prepare_host(favors_moves=False) == ()
    monkeypatch.setattr(kernel, "is_outermost", lambda: False)
    assert prepare_host(favors_moves=True) == ()


def test_a_kernel_that_refuses_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Hierarchies(unified=hierarchies().unified, options=("rw", "relatime"))

    def refuse(*_: object) -> None:
        raise PermissionError(1, "not here")

    monkeypatch.setattr(cgroups, "hierarchies", lambda: plain)
    monkeypatch.setattr(kernel, "reconfigure", refuse)
    assert prepare_host(favors_moves=True) == ()


def test_a_process_knows_whether_it_is_in_a_container() -> None:
    script = "from paas.host import kernel; print(kernel.is_outermost())"
    inside = subprocess.run(["unshare", "--cgroup", sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (kernel.is_outermost(), inside.stdout) == (True, "False\n")


def test_a_machine_that_does_not_let_us_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    expect_moves(Hierarchies(unified=tmp_path / "missing"))
    _wait_for_moves()
    expect_moves(Hierarchies(unified=None))
    assert failures == []
