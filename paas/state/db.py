"""One SQLite file: connections that survive forks and threads, transactions, migrations. The only user of sqlite3.

WAL lets readers go on beside a writer. synchronous=FULL: a promoted release must not be forgotten by a power cut, as its
predecessor's containers are gone by then; the handful of commits of a deploy cost a few milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from paas.errors import Conflict, HostProblem, NotFound

#: How long a writer waits for another one.
BUSY_TIMEOUT_S = 30.0

Row = sqlite3.Row


class Database:
    """The file. Opens it on first use, once for each thread of each process.

    A connection must not cross a fork, not even unused: SQLite counts locks for each process, so the child would believe
    that it holds its parent's. It is closed before a fork and opened again by whoever needs it.
    Source: sqlite.org/howtocorrupt.html, section 2.6.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._local = threading.local()
        self._inherited: list[sqlite3.Connection] = []
        itself = weakref.ref(self)
        os.register_at_fork(before=lambda: _close_before_fork(itself()))

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a query."""
        with self._explained():
            return self._connection().execute(query, parameters).fetchall()

    def row(self, query: str, parameters: Sequence[object] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        found = self.rows(query, parameters)
        return found[0] if found else None

    def change(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Run one statement that changes something, in the transaction under way or one of its own; return the row count."""
        with self.transaction():
            return self._connection().execute(statement, parameters).rowcount

    def insert(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Insert a row and return its id."""
        with self.transaction():
            return int(self._connection().execute(statement, parameters).lastrowid or 0)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes inside take place together, or none. Nested ones join the outermost."""
        with self._explained():
            connection = self._connection()
            if connection.in_transaction:
                yield
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def version(self) -> int:
        """Return a number that differs when another connection has changed the file since. Source: PRAGMA data_version."""
        with self._explained():
            return int(self._connection().execute("PRAGMA data_version").fetchone()[0])

    def mark(self) -> tuple[int, ...]:
        """Return what differs from before once anybody has written, over whichever connection. Costs less than a query."""
        found: list[int] = []
        for file in (self.file, self.file.with_name(self.file.name + "-wal")):
            with contextlib.suppress(FileNotFoundError):
                status = file.stat()
                found += [status.st_mtime_ns, status.st_size]
        return tuple(found)

    def close(self) -> None:
        """Close this thread's connection; the next use opens it again."""
        connection = self._own()
        if connection is not None:
            connection.close()
        self._local.connection = None

    def scrub(self) -> None:
        """Write the file anew, without what was deleted or replaced, and empty the journal."""
        with self._explained():
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                self._connection().execute(statement).fetchall()

    @property
    def is_in_transaction(self) -> bool:
        """Say whether this thread has a transaction under way."""
        connection = self._own()
        return connection is not None and connection.in_transaction

    def _connection(self) -> sqlite3.Connection:
        connection = self._own()
        if connection is None:
            connection = self._local.connection = self._open()
            self._local.pid = os.getpid()
        return connection

    def _own(self) -> sqlite3.Connection | None:
        """Return this thread's connection; one that was inherited in the middle of a transaction is laid aside, unclosed."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.pid != os.getpid():
            self._inherited.append(connection)
            self._local.connection = connection = None
        return connection

    def _open(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if not self.file.exists():
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            return self._connected()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_IOERR_SHMSIZE:
                raise
            return self._connected(is_alone=True)  # a disk without a block left: what makes room must know what is needed

    def _connected(self, *, is_alone: bool = False) -> sqlite3.Connection:
        """Connect; `is_alone` keeps others out and needs no index of the journal on the disk, sqlite.org/wal.html, section 8."""
        # isolation_level None: transactions begin where we say so, not where the module guesses.
        connection = sqlite3.connect(self.file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            if is_alone:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # a secret that was removed shall not stay in the file
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as exc:
            if "FOREIGN KEY" in str(exc):
                raise NotFound("The app does not exist any more", remedy="see: paas apps:list") from exc
            raise Conflict(f"{self.file.name}: {exc}", remedy="it exists already") from exc
        except sqlite3.DatabaseError as exc:
            raise _problem(exc, self.file) from exc


def _close_before_fork(database: Database | None) -> None:
    if database is not None and not database.is_in_transaction:
        database.close()


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. On a new file two processes may do so at once, and there SQLite does not wait by itself."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _problem(exc: sqlite3.DatabaseError, file: Path) -> HostProblem:
    if "full" in str(exc):
        return HostProblem(f"The disk is full: could not write {file}", remedy="free some space, e.g. with: paas image:prune")
    if "locked" in str(exc):
        return HostProblem(f"{file} was busy for {BUSY_TIMEOUT_S:.0f} s", remedy="try again; see who works: paas events")
    return HostProblem(f"{file}: {exc}", remedy="run: paas doctor")


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that this file has not seen, each in a transaction of its own."""
    done = connection.execute("PRAGMA user_version").fetchone()[0]
    scripts = migrations()
    if done > len(scripts):
        raise HostProblem(
            f"The database is of a newer version ({done}) than this program ({len(scripts)})",
            remedy="install the newer version again: sudo vagrant/provision.sh",
        )
    for number, script in enumerate(scripts[done:], start=done + 1):
        connection.execute("BEGIN EXCLUSIVE")
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] < number:  # another process may have been first
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def migrations() -> tuple[str, ...]:
    """Return the migration scripts in order."""
    folder = resources.files("paas.state") / "migrations"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return tuple((folder / name).read_text() for name in names)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
