import contextlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from paas.errors import HostProblem
from paas.state import State
from paas.state.db import migrations


def test_the_file_is_readable_by_its_owner_only(state):
    state.apps.list()
    assert state.db.file.stat().st_mode & 0o777 == 0o600


def test_what_fails_in_a_transaction_never_was(state):
    state.apps.create("shop", 0)
    with pytest.raises(RuntimeError), state.transaction():
        state.config.set("shop", {"A": "1"})
        with state.transaction():
            state.apps.set_stopped("shop", True)
        raise RuntimeError
    assert state.config.get("shop") == {}
    assert not state.apps.get("shop").is_stopped


def test_a_forked_child_and_threads_use_connections_of_their_own(state):
    state.apps.create("parent", 0)
    child = os.fork()
    if child == 0:
        state.apps.create("child", 0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    thread = threading.Thread(target=lambda: state.apps.create("thread", 0))
    thread.start()
    thread.join()
    assert sorted(app.number for app in state.apps.list()) == [1, 2, 3]


def test_no_connection_crosses_a_fork(state):
    state.apps.create("parent", 0)
    before = is_open(state.db.file)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"open" if is_open(state.db.file) else b"closed")
        os._exit(0)
    os.waitpid(child, 0)
    assert before
    assert os.read(reader, 10) == b"closed"


def is_open(file):
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(descriptor.readlink()).startswith(str(file)):
                return True
    return False


def test_a_new_file_opened_by_many_at_once_is_made_once(tmp_path):
    children = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            State(tmp_path / "paas.db").apps.create(f"app{number}", 0)
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8


def test_a_fork_in_a_transaction_leaves_it_to_the_parent(state):
    with state.transaction():
        state.apps.create("parent", 0)
        child = os.fork()
        if child == 0:
            found = [app.name for app in state.apps.list()]
            os._exit(0 if found == [] else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert [app.name for app in state.apps.list()] == ["parent"]


def test_a_damaged_file_is_a_problem_of_the_host(tmp_path):
    (tmp_path / "paas.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(HostProblem, match=r"paas\.db"):
        State(tmp_path / "paas.db").apps.list()


def test_a_database_of_a_newer_program_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "paas.db") as connection:
        connection.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    with pytest.raises(HostProblem, match="newer version"):
        State(tmp_path / "paas.db").apps.list()


def test_a_full_disk_is_said_and_leaves_everything_as_it_was(state):
    state.apps.create("shop", 0)
    state.db.rows(f"PRAGMA max_page_count = {state.db.rows('PRAGMA page_count')[0][0]}")  # SQLite's own way to a full disk
    with pytest.raises(HostProblem, match="The disk is full") as caught:
        state.config.set("shop", {"A": "1", "B": "x" * 100_000})
    assert "free some space" in caught.value.remedy
    assert state.config.get("shop") == {}
    assert [app.name for app in state.apps.list()] == ["shop"]
