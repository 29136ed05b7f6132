"""The statements behind the rules between environments: soak, policy, rewrites and checkpoints.

As in `statements`: each function works inside a transaction of its caller, and commits nothing. What only ever grows
is looked up again by the writing one, so that of two processes that bring the same word one adds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select

from reconciler.core.audit import Checkpoint, policy_accepted, rewrite_accepted
from reconciler.core.strictjson import Malformed
from reconciler.errors import Reason, Transient
from reconciler.model import AcceptedPolicy, EnvironmentName, Rewrite, Soak
from reconciler.stores import rows, statements, tables

_ONLY = 1
"""The id of the one row of a table that has one."""


# --- soak ---------------------------------------------------------------------------------------


def soaks_stand(connection: Connection, soaks: Mapping[EnvironmentName, Soak | None]) -> bool:
    """Whether just these are remembered. A row that can't be read is not just this one: it is written anew."""
    known: dict[str, str] = {}
    if soaks:
        known = {row.environment: row.document for row in connection.execute(_SOAKS)}
    return all(known.get(name) == (soak and rows.document(soak)) for name, soak in soaks.items())


def put_soaks(connection: Connection, soaks: Mapping[EnvironmentName, Soak | None]) -> None:
    """Remember each, or forget it for None."""
    table = tables.soaks
    for name, soak in soaks.items():
        if soak is None:
            connection.execute(statements.removal(table), {"key": name})
        else:
            statements.put(connection, table, name, {"document": rows.document(soak)})


# --- policy -------------------------------------------------------------------------------------


def policy(connection: Connection) -> AcceptedPolicy | None:
    """The policy that is in force."""
    text = connection.execute(_POLICY).scalar()
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
    found = connection.execute(_REWRITES)
    return tuple(rows.value_of(Rewrite, row.document, table.name, row.id) for row in found)


def rewrite_stands(connection: Connection, rewrite: Rewrite) -> bool:
    """Whether just this word is remembered."""
    return connection.execute(_REWRITE, {"said": rows.document(rewrite)}).first() is not None


def add_rewrite(connection: Connection, rewrite: Rewrite) -> None:
    """Remember a rewrite with its audit entry, and make its tip the one to follow, unless that was done before."""
    if not rewrite_stands(connection, rewrite):
        connection.execute(_NEW_REWRITE, {"document": rows.document(rewrite)})
        statements.put(connection, tables.branch, _ONLY, {"tip": rewrite.tip})
        statements.append(connection, rewrite_accepted(rewrite))


# --- checkpoints --------------------------------------------------------------------------------


def checkpoints(connection: Connection) -> tuple[Checkpoint, ...]:
    """Every checkpoint, oldest first: the chain only grows."""
    table = tables.checkpoints
    found = connection.execute(_CHECKPOINTS)
    return tuple(rows.value_of(Checkpoint, row.document, table.name, row.entries) for row in found)


def last_checkpoint(connection: Connection) -> Checkpoint | None:
    """The one that covers most entries."""
    row = connection.execute(_LAST_CHECKPOINT).first()
    return rows.value_of(Checkpoint, row.document, tables.checkpoints.name, row.entries) if row else None


def checkpoint_stands(connection: Connection, wanted: Checkpoint) -> bool:
    """Whether the head behind as many entries is signed already.

    Raises:
        Transient: Another head is: the chain was not only appended to.
    """
    table = tables.checkpoints
    text = connection.execute(statements.document_at(table), {"key": wanted.entries}).scalar()
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
        statements.add(connection, tables.checkpoints, checkpoint.entries, {"document": rows.document(checkpoint)})


# --- built once ---------------------------------------------------------------------------------

_SOAKS = select(tables.soaks)
_POLICY = select(tables.policy.c.document)
_REWRITES = select(tables.rewrites).order_by(tables.rewrites.c.id)
_REWRITE = select(tables.rewrites.c.id).where(tables.rewrites.c.document == bindparam("said"))
_NEW_REWRITE = insert(tables.rewrites)
_LAST_CHECKPOINT = select(tables.checkpoints).order_by(tables.checkpoints.c.entries.desc()).limit(1)
_CHECKPOINTS = select(tables.checkpoints).order_by(tables.checkpoints.c.entries)
