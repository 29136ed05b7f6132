"""The statements inside a transaction: each function does one thing to one table, and commits nothing.

Each statement is built once and gets its values as parameters: building one anew costs several times what the
database does with it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Delete,
    Insert,
    Integer,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    insert,
    literal,
    select,
    update,
)

from reconciler.core.audit import START, Fact, Head, line, seal
from reconciler.core.strictjson import Malformed, clean, load, time_text, whole
from reconciler.errors import Reason, Transient
from reconciler.model import Accepted, Action, Attempt, EnvironmentName, Status, Transition
from reconciler.stores import rows, tables

Value = TypeVar("Value")

TRANSITIONS_KEPT = 500
"""Transitions kept for each environment, newest first; the audit chain keeps what they were for."""

_NO_END = 2**63 - 1
"""More than any number that a database gives."""

KEY: BindParameter[Any] = bindparam("key")
"""What a statement looks for; no column has this name."""


@functools.cache
def document_at(table: Table) -> Select[Any]:
    """The document under the primary key `KEY`."""
    return select(table.c.document).where(_primary(table) == KEY)


@functools.cache
def removal(table: Table) -> Delete:
    """Of the row under the primary key `KEY`."""
    return delete(table).where(_primary(table) == KEY)


def put(connection: Connection, table: Table, key: str | int, values: Mapping[str, object]) -> None:
    """Update the row with this primary key, or add it. Safe since no other transaction writes meanwhile."""
    if connection.execute(_change(table), {**values, "key": key}).rowcount == 0:
        add(connection, table, key, values)


def add(connection: Connection, table: Table, key: str | int, values: Mapping[str, object]) -> None:
    """Add the row with this primary key; there is none yet."""
    connection.execute(_addition(table), {**values, _primary(table).name: key})


def document_of(connection: Connection, table: Table, environment: EnvironmentName, kind: type[Value]) -> Value | None:
    """The document of one environment in one of the tables that hold one."""
    text = connection.execute(document_at(table), {"key": environment}).scalar()
    return None if text is None else rows.value_of(kind, text, table.name, environment)


def documents_of(connection: Connection, table: Table, kind: type[Value]) -> dict[EnvironmentName, Value]:
    """The documents of every environment, in order of their names."""
    found = connection.execute(_documents(table))
    return {EnvironmentName(name): rows.value_of(kind, text, table.name, name) for name, text in found}


def upto(before: int | None) -> int:
    """A bound on a number from above, where none was given."""
    return _NO_END if before is None else min(max(before, 0), _NO_END)


def largest_token(connection: Connection) -> int:
    """The largest fencing token given so far; 0 when none."""
    return whole(connection.execute(_TOKEN).scalar() or 0)


def append(connection: Connection, fact: Fact) -> None:
    """Add an entry to the audit chain. The transaction must be a writing one: that is what keeps the chain single."""
    last = connection.execute(_HEAD).first()
    entry = seal(fact, START if last is None else Head(*last))
    connection.execute(_ENTRY, {"seq": entry.seq, "hash": entry.hash, "line": line(entry).decode()})


# --- attempts -----------------------------------------------------------------------------------


def add_attempt(connection: Connection, attempt: Attempt) -> Attempt:
    """Add an attempt, which gets a larger id than all before."""
    added = connection.execute(_ATTEMPT, rows.attempt_columns(attempt))
    (number,) = added.inserted_primary_key or (None,)
    return replace(attempt, id=number)


def end_attempt(connection: Connection, attempt: Attempt) -> bool:
    """Set how an attempt ended. False: exactly that was set before.

    Raises:
        Transient: There is no such attempt, or it ended in another way.
    """
    columns = rows.attempt_columns(attempt)
    same = {"key": attempt.id, "of": columns["environment"], "since": columns["started"]}
    if connection.execute(_END, {**columns, **same}).rowcount == 1:
        return True
    before = connection.execute(_ENDED, same).scalar()
    if before is not None and before == columns["outcome"]:
        return False
    found = "knows nothing of its beginning" if before is None else f"remembers that it ended as {before}"
    raise Transient(
        Reason.STORE_UNAVAILABLE,
        f"attempt {attempt.id} of {attempt.environment} can't be recorded as {attempt.outcome}: the store {found}",
        "the store was replaced, or another replica took over; the next pass records what it finds",
    )


def attempts(
    connection: Connection, environment: EnvironmentName | None, limit: int, before: int | None = None
) -> tuple[Attempt, ...]:
    """The newest attempts with an id below `before`, of one environment or of all, newest first."""
    query = _ATTEMPTS if environment is None else _ATTEMPTS_OF
    found = connection.execute(query, {"key": environment, "most": limit, "before": upto(before)})
    return tuple(rows.attempt_of(row) for row in found)


def attempts_in_short(
    connection: Connection, environment: EnvironmentName | None, limit: int, before: int | None
) -> tuple[Attempt, ...]:
    """As `attempts`, without gates but for rollbacks, and without output: reading those is most of the work."""
    query = _IN_SHORT if environment is None else _IN_SHORT_OF
    found = connection.execute(query, {"key": environment, "most": limit, "before": upto(before)})
    return tuple(rows.attempt_of(row) for row in found)


def unfinished(connection: Connection) -> tuple[Attempt, ...]:
    """Attempts with an intent and no outcome, oldest first."""
    return tuple(rows.attempt_of(row) for row in connection.execute(_UNFINISHED))


# --- where an environment stands ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stand:
    """What is to be remembered of an environment, already spelled as it is kept."""

    status: Status
    document: str
    environment: EnvironmentName
    """Of what was accepted."""
    accepted: str | None
    """None: nothing is said of what was accepted."""


def stand_of(status: Status, accepted: Accepted | None) -> Stand:
    """Spell a status, and what was accepted."""
    text = None if accepted is None else rows.document(accepted)
    return Stand(status, rows.document(status), (accepted or status).environment, text)


def stands(connection: Connection, wanted: Stand) -> bool:
    """Whether just this is remembered already."""
    document, accepted = _remembered(connection, wanted)
    return document == wanted.document and wanted.accepted in (None, accepted)


def put_stand(connection: Connection, wanted: Stand, at: datetime) -> None:
    """Remember what differs, and a transition when sync, health, reason or live changed."""
    document, accepted = _remembered(connection, wanted)
    if document != wanted.document:
        status = wanted.status
        columns = {"sync": status.sync, "health": status.health, "reason": status.reason, "document": wanted.document}
        _put_known(connection, tables.statuses, status.environment, columns, document is not None)
        if _state_of(document) != _state_of(wanted.document):
            _add_transition(connection, status, at)
    if wanted.accepted not in (None, accepted):
        values = {"document": wanted.accepted}
        _put_known(connection, tables.accepted, wanted.environment, values, accepted is not None)


def transitions(
    connection: Connection, environment: EnvironmentName | None, after: int, limit: int
) -> tuple[Transition, ...]:
    """Changes of state with an id above `after`, oldest first; the newest `limit` of them."""
    query = _TRANSITIONS if environment is None else _TRANSITIONS_OF
    found = connection.execute(query, {"key": environment, "after": after, "most": limit}).all()
    return tuple(rows.transition_of(row) for row in reversed(found))


def transitions_from(
    connection: Connection, environment: EnvironmentName | None, after: int, limit: int
) -> tuple[Transition, ...]:
    """Changes of state with an id above `after`, oldest first; the oldest `limit` of them."""
    query = _TRANSITIONS_FROM if environment is None else _TRANSITIONS_FROM_OF
    found = connection.execute(query, {"key": environment, "after": after, "most": limit}).all()
    return tuple(rows.transition_of(row) for row in found)


def _remembered(connection: Connection, wanted: Stand) -> tuple[str | None, str | None]:
    """The documents of status and accepted, in one look."""
    keys = {"key": wanted.status.environment, "other": wanted.environment}
    document, accepted = connection.execute(_REMEMBERED, keys).one()
    return document, accepted


def _put_known(connection: Connection, table: Table, key: str, values: Mapping[str, object], known: bool) -> None:
    """As `put`, for who just saw whether there is such a row."""
    if known:
        connection.execute(_change(table), {**values, "key": key})
    else:
        add(connection, table, key, values)


def _state_of(document: str | None) -> list[object] | None:
    """What makes a transition when it changes. A row that can't be read counts as none: it is being written anew."""
    try:
        known = None if document is None else load(document)
        return [known[name] for name in _STATE] if isinstance(known, dict) else None
    except (Malformed, KeyError):
        return None


def _add_transition(connection: Connection, status: Status, at: datetime) -> None:
    values = {
        "at": time_text(at),
        "environment": status.environment,
        "sync": status.sync,
        "health": status.health,
        "reason": status.reason,
        "message": clean(status.message),
        "live": status.live.id if status.live else "",
    }
    connection.execute(_TRANSITION, values)
    connection.execute(_FORGET, {"key": status.environment})


# --- built once ---------------------------------------------------------------------------------


def _primary(table: Table) -> Column[Any]:
    (column,) = table.primary_key.columns
    return column


@functools.cache
def _change(table: Table) -> Update:
    """Sets the columns that come with it, in the row under `KEY`."""
    return update(table).where(_primary(table) == KEY)


@functools.cache
def _addition(table: Table) -> Insert:
    return insert(table)


@functools.cache
def _documents(table: Table) -> Select[Any]:
    return select(table.c.environment, table.c.document).order_by(table.c.environment)


_A, _S, _T = tables.attempts.c, tables.statuses.c, tables.transitions.c
_MOST = bindparam("most", type_=Integer)
_STATE = ("sync", "health", "reason", "live")

_TOKEN = select(tables.lease.c.token)
_HEAD = select(tables.audit.c.seq, tables.audit.c.hash).order_by(tables.audit.c.seq.desc()).limit(1)
_ENTRY = insert(tables.audit)
_REMEMBERED = select(
    select(_S.document).where(_S.environment == KEY).scalar_subquery(),
    select(tables.accepted.c.document).where(tables.accepted.c.environment == bindparam("other")).scalar_subquery(),
)

_SAME = and_(_A.id == KEY, _A.environment == bindparam("of"), _A.started == bindparam("since"))
"""Another store may have given the same id to another attempt."""
_ATTEMPT = insert(tables.attempts)
_END = update(tables.attempts).where(_SAME, _A.outcome.is_(None))
_ENDED = select(_A.outcome).where(_SAME)
_UNFINISHED = select(tables.attempts).where(_A.outcome.is_(None)).order_by(_A.id)
_ATTEMPTS = select(tables.attempts).where(_A.id < bindparam("before")).order_by(_A.id.desc()).limit(_MOST)
_ATTEMPTS_OF = _ATTEMPTS.where(_A.environment == KEY)
_LEFT_OUT: Mapping[str, Any] = {
    "gates": case((_A.action == Action.ROLLBACK, _A.gates), else_="[]").label("gates"),
    "output": literal("").label("output"),
}
_IN_SHORT = (
    select(*(_LEFT_OUT.get(column.name, column) for column in tables.attempts.columns))
    .where(_A.id < bindparam("before"))
    .order_by(_A.id.desc())
    .limit(_MOST)
)
_IN_SHORT_OF = _IN_SHORT.where(_A.environment == KEY)

_TRANSITION = insert(tables.transitions)
_FORGET = delete(tables.transitions).where(
    _T.environment == KEY,
    _T.id
    <= select(_T.id)
    .where(_T.environment == KEY)
    .order_by(_T.id.desc())
    .offset(TRANSITIONS_KEPT)
    .limit(1)
    .scalar_subquery(),
)
_TRANSITIONS = select(tables.transitions).where(_T.id > bindparam("after")).order_by(_T.id.desc()).limit(_MOST)
_TRANSITIONS_OF = _TRANSITIONS.where(_T.environment == KEY)
_TRANSITIONS_FROM = select(tables.transitions).where(_T.id > bindparam("after")).order_by(_T.id).limit(_MOST)
_TRANSITIONS_FROM_OF = _TRANSITIONS_FROM.where(_T.environment == KEY)
