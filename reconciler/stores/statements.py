"""The statements inside a transaction: each function does one thing to one table, and commits nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, and_, delete, insert, select, update

from reconciler.core.audit import START, Fact, Head, line, seal
from reconciler.core.strictjson import Malformed, clean, time_text, whole
from reconciler.errors import Reason, Transient
from reconciler.model import Accepted, Attempt, EnvironmentName, Status
from reconciler.stores import rows, tables

Value = TypeVar("Value")

TRANSITIONS_KEPT = 500
"""Transitions kept for each environment, newest first; the audit chain keeps what they were for."""


def put(connection: Connection, table: Table, key: str | int, values: dict[str, Any]) -> None:
    """Update the row with this primary key, or add it. Safe since no other transaction writes meanwhile."""
    (column,) = table.primary_key.columns
    found = connection.execute(update(table).where(column == key).values(values))
    if found.rowcount == 0:
        connection.execute(insert(table).values({column.name: key} | values))


def document_of(connection: Connection, table: Table, environment: EnvironmentName, kind: type[Value]) -> Value | None:
    """The document of one environment in one of the tables that hold one."""
    text = connection.execute(select(table.c.document).where(table.c.environment == environment)).scalar()
    return None if text is None else rows.value_of(kind, text, table.name, environment)


def documents_of(connection: Connection, table: Table, kind: type[Value]) -> dict[EnvironmentName, Value]:
    """The documents of every environment, in order of their names."""
    found = connection.execute(select(table.c.environment, table.c.document).order_by(table.c.environment))
    return {EnvironmentName(name): rows.value_of(kind, text, table.name, name) for name, text in found}


def largest_token(connection: Connection) -> int:
    """The largest fencing token given so far; 0 when none."""
    return whole(connection.execute(select(tables.lease.c.token)).scalar() or 0)


def append(connection: Connection, fact: Fact) -> None:
    """Add an entry to the audit chain. The transaction must be a writing one: that is what keeps the chain single."""
    table = tables.audit
    last = connection.execute(select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1)).first()
    entry = seal(fact, START if last is None else Head(last.seq, last.hash))
    connection.execute(insert(table).values(seq=entry.seq, hash=entry.hash, line=line(entry).decode()))


def add_attempt(connection: Connection, attempt: Attempt) -> Attempt:
    """Add an attempt, which gets a larger id than all before."""
    added = connection.execute(insert(tables.attempts).values(rows.attempt_columns(attempt)))
    (number,) = added.inserted_primary_key or (None,)
    return replace(attempt, id=number)


def end_attempt(connection: Connection, attempt: Attempt) -> bool:
    """Set how an attempt ended. False: exactly that was set before.

    Raises:
        Transient: There is no such attempt, or it ended in another way.
    """
    table = tables.attempts
    columns = rows.attempt_columns(attempt)
    same = and_(table.c.id == attempt.id, *(table.c[name] == columns[name] for name in ("environment", "started")))
    ended = connection.execute(update(table).where(same, table.c.outcome.is_(None)).values(columns))
    if ended.rowcount == 1:
        return True
    before = connection.execute(select(table.c.outcome).where(same)).scalar()
    if before is not None and before == columns["outcome"]:
        return False
    found = "knows nothing of its beginning" if before is None else f"remembers that it ended as {before}"
    raise Transient(
        Reason.STORE_UNAVAILABLE,
        f"attempt {attempt.id} of {attempt.environment} can't be recorded as {attempt.outcome}: the store {found}",
        "the store was replaced, or another replica took over; the next pass records what it finds",
    )


def status_stands(connection: Connection, status: Status) -> bool:
    """Whether just this is remembered already."""
    return rows.document(status) == _status_text(connection, status.environment)


def put_status(connection: Connection, status: Status, at: datetime) -> None:
    """Remember a status where it differs, and a transition when sync, health, reason or live changed."""
    document, text = rows.document(status), _status_text(connection, status.environment)
    if document == text:
        return
    columns = {"sync": status.sync, "health": status.health, "reason": status.reason, "document": document}
    put(connection, tables.statuses, status.environment, columns)
    if _state(status) != _state_of(text, status.environment):
        _add_transition(connection, status, at)


def accepted_stands(connection: Connection, accepted: Accepted | None) -> bool:
    """Whether just this is remembered as accepted; nothing to remember stands too."""
    if accepted is None:
        return True
    return document_of(connection, tables.accepted, accepted.environment, Accepted) == accepted


def put_accepted(connection: Connection, accepted: Accepted | None) -> None:
    """Remember what was accepted, where there is something."""
    if accepted is not None:
        put(connection, tables.accepted, accepted.environment, {"document": rows.document(accepted)})


def _status_text(connection: Connection, environment: EnvironmentName) -> str | None:
    table = tables.statuses
    return connection.execute(select(table.c.document).where(table.c.environment == environment)).scalar()


def _state_of(text: str | None, environment: EnvironmentName) -> tuple[object, ...] | None:
    """What was remembered. A row that can't be read counts as none: it is being written anew."""
    try:
        return None if text is None else _state(rows.value_of(Status, text, "statuses", environment))
    except Malformed:
        return None


def _state(status: Status) -> tuple[object, ...]:
    return status.sync, status.health, status.reason, status.live


def _add_transition(connection: Connection, status: Status, at: datetime) -> None:
    table = tables.transitions
    values = {
        "at": time_text(at),
        "environment": status.environment,
        "sync": status.sync,
        "health": status.health,
        "reason": status.reason,
        "message": clean(status.message),
        "live": status.live.id if status.live else "",
    }
    connection.execute(insert(table).values(values))
    mine = table.c.environment == status.environment
    newest_to_go = select(table.c.id).where(mine).order_by(table.c.id.desc()).offset(TRANSITIONS_KEPT).limit(1)
    connection.execute(delete(table).where(mine, table.c.id <= newest_to_go.scalar_subquery()))
