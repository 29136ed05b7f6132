"""For the rules between environments: soaks, the policy, accepted rewrites, checkpoints; and each attempt's plan."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add to what is there; no row is changed."""
    op.add_column("attempts", sa.Column("plan", sa.String, nullable=False, server_default=""))
    op.create_index("attempts_by_end", "attempts", ["environment", "outcome", "id", "finished"])
    op.create_table(
        "soaks",
        sa.Column("environment", sa.String, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "rewrites",
        sa.Column("id", _ROW_ID, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "checkpoints",
        sa.Column("entries", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    for table in ("rewrites", "checkpoints"):
        _only_appended_to(table)


def _only_appended_to(table: str) -> None:
    # As at the audit chain: against slips, not attackers.
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} are only ever appended to'); END"
            )
