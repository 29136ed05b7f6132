"""The statements behind the rules between environments: soak, policy, rewrites, checkpoints, and past successes.

As in `statements`: each function works inside a transaction of its caller, and commits nothing. What only ever grows
is looked up again by the writing one, so that of two processes that bring the same word one adds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from reconciler.core.audit import Checkpoint, policy_accepted, rewrite_accepted
from reconciler.core.strictjson import Malformed, time_text
from reconciler.errors import Reason, Transient
from reconciler.model import AcceptedPolicy, Attempt, EnvironmentName, Outcome, Rewrite, Soak
from reconciler.stores import rows, statements, tables

_ONLY = 1
"""The id of the one row of a table that has one."""


def succeeded(
    connection: Connection, environment: EnvironmentName, until: datetime | None, limit: int
) -> tuple[Attempt, ...]:
    """Attempts that succeeded, newest first. In the order they were made in, whatever the clock did in between."""
    table = tables.attempts
    query = select(table).where(table.c.environment == environment, table.c.outcome == Outcome.SUCCEEDED)
    if until is not None:
        query = query.where(table.c.finished <= time_text(until))
    found = connection.execute(query.order_by(table.c.id.desc()).limit(limit))
    return tuple(rows.attempt_of(row) for row in found.mappings())


# --- soak ---------------------------------------------------------------------------------------


def soaks_stand(connection: Connection, soaks: Mapping[EnvironmentName, Soak | None]) -> bool:
    """Whether just these are remembered. A row that can't be read is not just this one: it is written anew."""
    table = tables.soaks
    known: dict[str, str] = {}
    if soaks:
        known = {row.environment: row.document for row in connection.execute(select(table))}
    return all(known.get(name) == (soak and rows.document(soak)) for name, soak in soaks.items())


def put_soaks(connection: Connection, soaks: Mapping[EnvironmentName, Soak | None]) -> None:
    """Remember each, or forget it for None."""
    table = tables.soaks
    for name, soak in soaks.items():
        if soak is None:
            connection.execute(delete(table).where(table.c.environment == name))
        else:
            statements.put(connection, table, name, {"document": rows.document(soak)})


# --- policy -------------------------------------------------------------------------------------


def policy(connection: Connection) -> AcceptedPolicy | None:
    """The policy that is in force."""
    text = connection.execute(select(tables.policy.c.document)).scalar()
    return None if text is None else rows.value_of(AcceptedPolicy, text, tables.policy.name, _ONLY)


def policy_stands(connection: Connection, wanted: AcceptedPolicy) -> bool:
    """Whether this file of this commit is remembered. A row that can't be read is written anew."""
    try:
        known = policy(connection)
    except Malformed:
        return False
    return known is not None and (known.commit, known.digest) == (wanted.commit, wanted.digest)


def put_policy(connection: Connection, wanted: AcceptedPolicy, at: datetime) -> None:
    """Remember a policy with its audit entry, unless another process just did."""
    if not policy_stands(connection, wanted):
        statements.put(connection, tables.policy, _ONLY, {"document": rows.document(wanted)})
        statements.append(connection, policy_accepted(wanted, at))


# --- rewrites -----------------------------------------------------------------------------------


def rewrites(connection: Connection) -> tuple[Rewrite, ...]:
    """Every rewrite that was accepted, oldest first."""
    table = tables.rewrites
    found = connection.execute(select(table).order_by(table.c.id))
    return tuple(rows.value_of(Rewrite, row.document, table.name, row.id) for row in found)


def rewrite_stands(connection: Connection, rewrite: Rewrite) -> bool:
    """Whether just this word is remembered."""
    table = tables.rewrites
    same = select(table.c.id).where(table.c.document == rows.document(rewrite))
    return connection.execute(same).first() is not None


def add_rewrite(connection: Connection, rewrite: Rewrite) -> None:
    """Remember a rewrite with its audit entry, and make its tip the one to follow, unless that was done before."""
    if not rewrite_stands(connection, rewrite):
        connection.execute(insert(tables.rewrites).values(document=rows.document(rewrite)))
        statements.put(connection, tables.branch, _ONLY, {"tip": rewrite.tip})
        statements.append(connection, rewrite_accepted(rewrite))


# --- checkpoints --------------------------------------------------------------------------------


def checkpoints(connection: Connection) -> tuple[Checkpoint, ...]:
    """Every checkpoint, oldest first: the chain only grows."""
    table = tables.checkpoints
    found = connection.execute(select(table).order_by(table.c.entries))
    return tuple(rows.value_of(Checkpoint, row.document, table.name, row.entries) for row in found)


def checkpoint_stands(connection: Connection, wanted: Checkpoint) -> bool:
    """Whether the head behind as many entries is signed already.

    Raises:
        Transient: Another head is: the chain was not only appended to.
    """
    table = tables.checkpoints
    text = connection.execute(select(table.c.document).where(table.c.entries == wanted.entries)).scalar()
    if text is None:
        return False
    known = rows.value_of(Checkpoint, text, table.name, wanted.entries)
    if known.head == wanted.head:
        return True
    raise Transient(
        Reason.STORE_UNAVAILABLE,
        f"a checkpoint says that entry {wanted.entries} of the audit chain has the hash {known.head[:12]}, "
        f"and now it has {wanted.head[:12]}",
        "the audit chain was altered: keep this store as it is, and compare it with an export or an anchor",
    )


def add_checkpoint(connection: Connection, checkpoint: Checkpoint) -> None:
    """Remember a checkpoint, unless another process just did."""
    if not checkpoint_stands(connection, checkpoint):
        values = {"entries": checkpoint.entries, "document": rows.document(checkpoint)}
        connection.execute(insert(tables.checkpoints).values(values))
