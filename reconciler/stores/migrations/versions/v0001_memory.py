"""The first tables, and the guards on the audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make everything."""
    _memory()
    _history()
    _audit()


def _memory() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "branch",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tip", sa.String, nullable=False),
    )
    op.create_table(
        "statuses",
        sa.Column("environment", sa.String, primary_key=True),
        sa.Column("sync", sa.String, nullable=False),
        sa.Column("health", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("document", sa.Text, nullable=False),
    )
    for name in ("accepted", "hands"):
        op.create_table(
            name,
            sa.Column("environment", sa.String, primary_key=True),
            sa.Column("document", sa.Text, nullable=False),
        )


def _history() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", _ROW_ID, primary_key=True),
        sa.Column("environment", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("commit", sa.String),
        sa.Column("run_id", sa.BigInteger),
        sa.Column("sha256", sa.String),
        sa.Column("before", sa.Text),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("approvers", sa.Text, nullable=False),
        sa.Column("gates", sa.Text, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("finished", sa.String),
        sa.Column("outcome", sa.String),
        sa.Column("reason", sa.String),
        sa.Column("message", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("attempts_by_environment", "attempts", ["environment", "id"])
    op.create_index("attempts_by_outcome", "attempts", ["outcome"])
    op.create_table(
        "transitions",
        sa.Column("id", _ROW_ID, primary_key=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("environment", sa.String, nullable=False),
        sa.Column("sync", sa.String, nullable=False),
        sa.Column("health", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("live", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("transitions_by_environment", "transitions", ["environment", "id"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
    )
    # Triggers have no common form. This stops slips, not attackers: those are stopped by the chain.
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                f"BEGIN SELECT RAISE(ABORT, 'the audit chain is only ever appended to'); END"
            )
