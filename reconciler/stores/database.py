"""Transactions on the store's file: opened when first needed, opened anew when the file was replaced.

Everything that goes wrong below comes out as `StoreUnavailable`, with the file's name and a way out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from reconciler.ports import Trace
from reconciler.stores import schema, sqlite


class Database:
    """One file, for many threads; other processes may use it at the same time."""

    def __init__(self, path: Path, trace: Trace) -> None:
        self._path = path
        self._trace = trace
        self._lock = Lock()
        self._engine: Engine | None = None
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only looks: all of it sees one state.

        Raises:
            Transient: `StoreUnavailable`.
        """
        with self._wrapped(), self._ready().connect() as connection:
            yield connection

    @contextmanager
    def write(self, step: str) -> Iterator[Connection]:
        """A transaction that is the only writing one, of all processes. Committed at the end, or not at all.

        Args:
            step: Traced right before the commit.

        Raises:
            Transient: `StoreUnavailable`, also when the turn does not come within `sqlite.BUSY_SECONDS`.
        """
        writing = {sqlite.WRITES: True}
        sqlite.check_room(self._path)
        with self._wrapped(), self._ready().connect().execution_options(**writing) as connection, connection.begin():
            yield connection
            self._trace(step)

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            self._drop()

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        # A flipped bit also shows as a text that is not UTF-8, or as a number of another size.
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, ArithmeticError) as error:
            raise sqlite.unavailable(self._path, error) from error

    def _ready(self) -> Engine:
        with self._lock:
            if self._engine is None or sqlite.identity(self._path) != self._identity:
                # Writing on to a file that was moved away would lose every word of it.
                self._drop()
                self._engine = self._opened()
            return self._engine

    def _opened(self) -> Engine:
        sqlite.make(self._path)
        # Before anything is opened: if the file is replaced meanwhile, the next use notices.
        self._identity = sqlite.identity(self._path)
        engine = sqlite.engine_for(self._path)
        try:
            schema.prepare(engine, self._path, self._trace)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _drop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()
