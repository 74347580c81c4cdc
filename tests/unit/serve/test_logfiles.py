"""Old log files go, the newest and those in use stay."""

from __future__ import annotations

import os
from pathlib import Path

from paas.serve.logfiles import prune_logs


def log(directory: Path, name: str, age: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / name
    file.write_text("x")
    os.utime(file, (1_000_000 - age, 1_000_000 - age))
    return file


def test_only_the_newest_of_each_process_stay(tmp_path: Path) -> None:
    for age in range(5):
        log(tmp_path / "shop" / "web.1", f"c{age}.log", age)
    log(tmp_path / "shop" / "worker.1", "w.log", 99)
    assert prune_logs(tmp_path, keep=2, in_use=()) == 3
    assert sorted(path.name for path in tmp_path.rglob("*.log")) == ["c0.log", "c1.log", "w.log"]


def test_logs_in_use_stay_with_their_rotated_part(tmp_path: Path) -> None:
    old = log(tmp_path / "shop" / "web.1", "old.log", 50)
    log(tmp_path / "shop" / "web.1", "old.log.1", 60)
    for age in range(3):
        log(tmp_path / "shop" / "web.1", f"c{age}.log", age)
    assert prune_logs(tmp_path, keep=2, in_use=[old]) == 2
    assert sorted(path.name for path in tmp_path.rglob("*.log*")) == ["c0.log", "old.log", "old.log.1"]
