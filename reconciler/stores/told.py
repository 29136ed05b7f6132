"""What was heard from CI and told at the forge: the part of the store that keeps both from being lost or said twice.

None of it is audited, and nothing is decided by it alone: lost, it is asked for, and told, once more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, Integer, Table, and_, bindparam, delete, insert, select

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

    def runs(self, run_ids: Collection[RunId]) -> Mapping[RunId, Mapping[str, Run]]:
        """What CI said of several runs, where anything is remembered, by number and source."""
        if not run_ids:
            return {}
        with self._database.read() as connection:
            found = connection.execute(_RUNS, {"keys": sorted(set(run_ids))}).all()
        runs: dict[RunId, dict[str, Run]] = {}
        for source, run_id, text in found:
            run = rows.value_of(Run, text, tables.runs.name, f"{source}/{run_id}")
            runs.setdefault(RunId(run_id), {})[source] = run
        return runs

    def save_run(self, source: str, run: Run) -> None:
        """Remember what CI said, of the last `RUNS_KEPT` runs; writes nothing when just this is remembered."""
        document = rows.document(run)
        with self._database.read() as connection:
            if _run(connection, source, run.run_id) == document:
                return
        self._database.write("store:run", lambda connection: _put_run(connection, source, run.run_id, document))

    def told_plans(self) -> Mapping[int, ToldPlan]:
        """What was told on open pull requests, by number."""
        table = tables.told_plans
        with self._database.read() as connection:
            found = connection.execute(_PLANS)
            return {row.number: rows.value_of(ToldPlan, row.document, table.name, row.number) for row in found}

    def save_told_plan(self, number: int, told: ToldPlan | None) -> None:
        """Remember what was told on one, None for one that is not open any more."""
        self._tell("store:told_plan", tables.told_plans, number, None if told is None else rows.document(told))

    def told_rollouts(self) -> Mapping[str, str]:
        """What was told of each rollout last, by its key."""
        table = tables.told_rollouts
        with self._database.read() as connection:
            found = connection.execute(_ROLLOUTS)
            return {row.rollout: rows.value_of(str, row.document, table.name, row.rollout) for row in found}

    def save_told_rollout(self, key: str, told: str | None) -> None:
        """Remember what was told of one, None for one of which nothing will ever be told again."""
        document = None if told is None else rows.document(told)
        self._tell("store:told_rollout", tables.told_rollouts, clean(key), document)

    def _tell(self, step: str, table: Table, key: str | int, document: str | None) -> None:
        with self._database.read() as connection:
            if connection.execute(statements.document_at(table), {"key": key}).scalar() == document:
                return

        def tell(connection: Connection) -> None:
            if document is None:
                connection.execute(statements.removal(table), {"key": key})
            else:
                statements.put(connection, table, key, {"document": document})

        self._database.write(step, tell)


def _run(connection: Connection, source: str, run_id: RunId) -> str | None:
    return connection.execute(_RUN, {"of": source, "key": run_id}).scalar()


def _put_run(connection: Connection, source: str, run_id: RunId, document: str) -> None:
    """Remember a run as the newest one; the oldest goes when there are too many."""
    connection.execute(_OLD_RUN, {"of": source, "key": run_id})
    connection.execute(_NEW_RUN, {"source": source, "run_id": run_id, "document": document})
    connection.execute(_RUNS_TO_GO, {"kept": RUNS_KEPT})


_R = tables.runs.c
_SAME = and_(_R.source == bindparam("of"), _R.run_id == statements.KEY)
_RUN = select(_R.document).where(_SAME)
_SOURCES = select(_R.source).distinct()
"""Few: with them, a number is found by the index."""
_RUNS = select(_R.source, _R.run_id, _R.document).where(
    _R.source.in_(_SOURCES), _R.run_id.in_(bindparam("keys", expanding=True))
)
_OLD_RUN = delete(tables.runs).where(_SAME)
_NEW_RUN = insert(tables.runs)
_RUNS_TO_GO = delete(tables.runs).where(
    _R.id <= select(_R.id).order_by(_R.id.desc()).offset(bindparam("kept", type_=Integer)).limit(1).scalar_subquery()
)
_PLANS = select(tables.told_plans).order_by(tables.told_plans.c.number)
_ROLLOUTS = select(tables.told_rollouts).order_by(tables.told_rollouts.c.rollout)
