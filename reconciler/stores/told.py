"""What was heard from CI and told at the forge: the part of the store that keeps both from being lost or said twice.

None of it is audited, and nothing is decided by it alone: lost, it is asked for, and told, once more.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, and_, delete, insert, select

from reconciler.core.strictjson import clean
from reconciler.model import Run, RunId, ToldPlan
from reconciler.stores import rows, statements, tables
from reconciler.stores.database import Database

RUNS_KEPT = 10_000
"""Runs that are remembered: the ones saved last, far more than custody holds artifacts of."""


class ToldStore:
    """The methods of `ports.Store` for these; each that writes is one transaction, and writes only what is new."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, source: str, run_id: RunId) -> Run | None:
        """What CI said of a run when its artifact was taken into custody; None when nothing is remembered."""
        with self._database.read() as connection:
            text = _run(connection, source, run_id)
            return None if text is None else rows.value_of(Run, text, tables.runs.name, f"{source}/{run_id}")

    def save_run(self, source: str, run: Run) -> None:
        """Remember what CI said, of the last `RUNS_KEPT` runs; writes nothing when just this is remembered."""
        document = rows.document(run)
        with self._database.read() as connection:
            if _run(connection, source, run.run_id) == document:
                return
        with self._database.write("store:run") as connection:
            _put_run(connection, source, run.run_id, document)

    def told_plans(self) -> Mapping[int, ToldPlan]:
        """What was told on open pull requests, by number."""
        table = tables.told_plans
        with self._database.read() as connection:
            found = connection.execute(select(table).order_by(table.c.number))
            return {row.number: rows.value_of(ToldPlan, row.document, table.name, row.number) for row in found}

    def save_told_plan(self, number: int, told: ToldPlan | None) -> None:
        """Remember what was told on one, None for one that is not open any more."""
        table = tables.told_plans
        document = None if told is None else rows.document(told)
        with self._database.read() as connection:
            if connection.execute(select(table.c.document).where(table.c.number == number)).scalar() == document:
                return
        with self._database.write("store:told_plan") as connection:
            if document is None:
                connection.execute(delete(table).where(table.c.number == number))
            else:
                statements.put(connection, table, number, {"document": document})

    def told_rollouts(self) -> Mapping[str, str]:
        """What was told of each rollout last, by its key."""
        table = tables.told_rollouts
        with self._database.read() as connection:
            found = connection.execute(select(table).order_by(table.c.rollout))
            return {row.rollout: rows.value_of(str, row.document, table.name, row.rollout) for row in found}

    def save_told_rollout(self, key: str, told: str | None) -> None:
        """Remember what was told of one, None for one of which nothing will ever be told again."""
        table = tables.told_rollouts
        key, document = clean(key), None if told is None else rows.document(told)
        with self._database.read() as connection:
            if connection.execute(select(table.c.document).where(table.c.rollout == key)).scalar() == document:
                return
        with self._database.write("store:told_rollout") as connection:
            if document is None:
                connection.execute(delete(table).where(table.c.rollout == key))
            else:
                statements.put(connection, table, key, {"document": document})


def _run(connection: Connection, source: str, run_id: RunId) -> str | None:
    table = tables.runs
    query = select(table.c.document).where(table.c.source == source, table.c.run_id == run_id)
    return connection.execute(query).scalar()


def _put_run(connection: Connection, source: str, run_id: RunId, document: str) -> None:
    """Remember a run as the newest one; the oldest goes when there are too many."""
    table = tables.runs
    connection.execute(delete(table).where(and_(table.c.source == source, table.c.run_id == run_id)))
    connection.execute(insert(table).values(source=source, run_id=run_id, document=document))
    newest_to_go = select(table.c.id).order_by(table.c.id.desc()).offset(RUNS_KEPT).limit(1)
    connection.execute(delete(table).where(table.c.id <= newest_to_go.scalar_subquery()))
