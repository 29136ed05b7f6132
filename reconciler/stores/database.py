"""Transactions on the store's file: opened when first needed, opened anew when the file was replaced.

Everything that goes wrong below comes out as `StoreUnavailable`, with the file's name and a way out.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from reconciler.ports import Trace
from reconciler.stores import schema, sqlite

Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Unit:
    """What one thread wants written, and what came of it."""

    step: str
    work: Callable[[Connection], object]
    value: object = None
    error: Exception | None = None
    kept: bool = False
    done: bool = False
    """Nobody works on it any more."""


class Database:
    """One file, for many threads; other processes may use it at the same time."""

    def __init__(self, path: Path, trace: Trace) -> None:
        self._path = path
        self._trace = trace
        self._lock = Lock()
        self._turn = Lock()
        """Held by the thread that writes, for itself and for all that wait."""
        self._waiting: deque[_Unit] = deque()
        self._engine: Engine | None = None
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only looks: all of it sees one state.

        Raises:
            Transient: `StoreUnavailable`.
        """
        with self._wrapped(), sqlite.reading(self._ready()) as connection:
            yield connection

    def write(self, step: str, work: Callable[[Connection], Value]) -> Value:
        """Do some work in a transaction that is the only writing one, of all processes. All of it is kept, or none.

        What other threads bring while one commits goes together into the next transaction, in the order of their
        coming: waiting for the disk is what writing costs, and they wait for it once. Each comes back when that is
        done. When the work of one fails, nothing of them all was kept, and each is done anew in one of its own.

        Args:
            step: Traced when the work is done, right before the commit.
            work: What to do. It gives back what it came to, changes nothing but the database, and may run twice.

        Raises:
            Transient: `StoreUnavailable`, also when the turn does not come within `sqlite.BUSY_SECONDS`, be it this
                one's or that of who is before it.
        """
        unit = _Unit(step, work)
        self._waiting.append(unit)
        with self._turn:
            if not unit.done:
                self._commit([self._waiting.popleft() for _ in range(len(self._waiting))])
        if not unit.kept:
            raise unit.error or sqlite.unavailable(self._path, InterruptedError("the process was told to end"))
        return cast("Value", unit.value)

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            self._drop()

    def _commit(self, units: Sequence[_Unit]) -> None:
        """Do them in one transaction. For the thread that has the turn."""
        at_work = False
        try:
            with self._writing() as connection:
                at_work = True
                for unit in units:
                    unit.value = unit.work(connection)
                    self._trace(unit.step)
                at_work = False
        except Exception as error:  # noqa: BLE001 - raised again, by those whom it concerns
            if at_work and len(units) > 1:
                for unit in units:
                    self._commit([unit])
            else:
                for unit in units:
                    unit.error = error
        else:
            for unit in units:
                unit.kept = True
        finally:
            for unit in units:
                unit.done = True

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        sqlite.check_room(self._path)
        with self._wrapped(), sqlite.writing(self._ready()) as connection:
            yield connection

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
