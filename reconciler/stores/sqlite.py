"""All that is particular to SQLite: the file, its pragmas, how a writer waits its turn, what its errors mean.

The database is in WAL mode, so readers and one writer don't wait for each other, and `synchronous=FULL`, without which
a power cut takes the last commits. Every writing transaction begins with `BEGIN IMMEDIATE`: one that read first
and asked for the lock later could find that its reading is stale, and fail.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from reconciler.core.strictjson import Malformed
from reconciler.errors import Reason, Transient
from reconciler.machine import locks

BUSY_SECONDS = 10.0
"""How long a writer waits for another one; a hundred times what the longest transaction takes."""
CONNECTIONS = 15
"""Most connections of one process: each holds up to three file descriptors."""
CACHE_KIB = 512
"""Of pages that one connection keeps; the kernel keeps the others, and there are several connections."""
ROOM_BYTES = 1024**2
"""Free space without which nothing is opened or written: thirty times the first of the WAL's shared memory.

SQLite maps that file and writes it in place. Where the disk can't give a block for it (file systems with blocks
smaller than a page, or that copy on write) the kernel answers with SIGBUS, which ends the process.
"""

START_OVER = "if it stays so, move the file away: the next pass rebuilds it from Git and the targets"
_HINTS = (
    (("full", "no space", "disk i/o"), "free some space where the store is, or look after the disk"),
    (("readonly", "read-only", "permission"), "let the user of this process write the file and its folder"),
    (("locked", "timeout", "queuepool"), "another process keeps the store busy; this is tried again"),
    (("unable to open", "not a directory", "is a directory", "no such file"), "check the path in the settings"),
)


def engine_for(path: Path) -> Engine:
    """An engine that knows the rules above; its transactions are `reading` and `writing`. Connects when first used.

    It hears of new connections only: whoever listens to statements too makes each of them cost twice as much.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
        pool_size=CONNECTIONS // 3,
        max_overflow=CONNECTIONS - CONNECTIONS // 3,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
    )
    event.listen(engine, "connect", lambda connection, _: _prepare(connection, path))
    return engine


def reading(engine: Engine) -> AbstractContextManager[Connection]:
    """A transaction that only looks: all of it sees one state."""
    return _begun(engine, "BEGIN")


def writing(engine: Engine) -> AbstractContextManager[Connection]:
    """A transaction that is the only writing one. Committed at the end, or not at all."""
    return _begun(engine, "BEGIN IMMEDIATE")


def make(path: Path) -> None:
    """Make the file, empty and for this user alone, when there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def check_room(path: Path) -> None:
    """See that the disk has room for what SQLite maps into memory.

    Raises:
        Transient: `StoreUnavailable`: less than `ROOM_BYTES` are free.
    """
    try:
        found = os.statvfs(path.parent)
    except OSError:  # what is wrong with this place is told by whoever opens the file
        return
    if room(found, os.geteuid()) < ROOM_BYTES:
        raise Transient(
            Reason.STORE_UNAVAILABLE, f"the store {path}: the disk is full", f"free at least {ROOM_BYTES} bytes there"
        )


def room(found: os.statvfs_result, user: int) -> int:
    """Bytes that this user may still write; the reserve is root's. `ROOM_BYTES` where nothing is counted."""
    if found.f_blocks == 0:  # some network and user-space file systems
        return ROOM_BYTES
    return found.f_frsize * (found.f_bfree if user == 0 else found.f_bavail)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there: it may have been moved away, or replaced, while connections to it are open."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep every other process from changing the schema; ends by itself when this process does."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        locks.wait(folder)
        yield
    finally:
        locks.free(folder)
        os.close(folder)


def logs_ahead(connection: Connection) -> bool:
    """Whether the file is in WAL mode already; asking writes nothing."""
    return connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def log_ahead(engine: Engine) -> None:
    """Turn WAL mode on; the file remembers."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def unavailable(path: Path, error: Exception) -> Transient:
    """What the store's user is told of an error: the file, SQLite's own words, no statement and no values."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    words = str(origin)
    if isinstance(origin, OSError):
        words = origin.strerror or type(origin).__name__
    elif isinstance(origin, ValueError | ArithmeticError) and not isinstance(origin, Malformed):
        words = f"it is damaged: what is read from it ends in {type(origin).__name__}"
    hint = next((hint for marks, hint in _HINTS if any(mark in words.lower() for mark in marks)), START_OVER)
    return Transient(Reason.STORE_UNAVAILABLE, f"the store {path}: {words}", hint)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Before the first statement: until then SQLite only opened the file, and maps nothing.
    try:
        check_room(path)
    except Transient:
        connection.close()
        raise
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"cache_size=-{CACHE_KIB}"):
        connection.execute(f"PRAGMA {pragma}").close()


@contextmanager
def _begun(engine: Engine, how: str) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin():
        # SQLAlchemy leaves the beginning to the driver, and the driver, told so in `engine_for`, to us.
        driver: Any = connection.connection.driver_connection
        driver.execute(how).close()
        yield connection
