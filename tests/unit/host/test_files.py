import os
import threading

import pytest

from paas.errors import Conflict, HostProblem
from paas.host.files import atomic_write, flock, lock_holder, move_tree, remove_tree, require_space


def test_an_atomic_write_replaces_the_file_and_sets_its_mode(tmp_path):
    file = tmp_path / "a" / "b"
    atomic_write(file, "one")
    atomic_write(file, b"two", mode=0o600)
    assert file.read_bytes() == b"two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in file.parent.iterdir()] == ["b"]


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary(tmp_path):
    file = tmp_path / "kept"
    file.mkdir()  # a directory cannot be replaced by a file
    with pytest.raises(HostProblem, match="Could not write"):
        atomic_write(file, "x")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_lock_tells_its_holder_and_refuses_who_will_not_wait(tmp_path):
    lock = tmp_path / "shop.lock"
    with flock(lock, what="git push by alice"):
        holder = lock_holder(lock)
        assert holder is not None
        assert (holder.what, holder.pid) == ("git push by alice", os.getpid())
        with pytest.raises(Conflict, match="git push by alice"), flock(lock, what="other", wait=False):
            pass
    with flock(lock, what="other", wait=False):
        pass


def test_a_waiter_is_told_for_whom_and_gets_its_turn(tmp_path):
    lock, told, order = tmp_path / "l", [], []
    entered = threading.Event()

    def second():
        with flock(lock, what="second", on_wait=lambda holder: (told.append(holder.what), entered.set())):
            order.append("second")

    with flock(lock, what="first"):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(5)
        order.append("first")
    thread.join(5)
    assert (told, order) == (["first"], ["first", "second"])


def test_a_tree_moves_into_what_is_there(tmp_path):
    for name in ("old/web.1/a.log", "old/worker.1/w.log", "new/web.1/b.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    move_tree(tmp_path / "old", tmp_path / "new")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.log")) == [
        "new/web.1/a.log", "new/web.1/b.log", "new/worker.1/w.log",
    ]  # fmt: skip
    assert not (tmp_path / "old").exists()


def test_removing_a_tree_never_follows_a_link(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "gone")
    remove_tree(tmp_path / "gone")
    assert (tmp_path / "kept/file").exists()


def test_too_little_space_is_told_before_anything_is_begun(tmp_path):
    require_space(tmp_path, 1)
    with pytest.raises(HostProblem, match="The disk is full"):
        require_space(tmp_path, 1 << 60)
