"""For what was heard from CI and told at the forge: runs, plans on pull requests, rollouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add to what is there; no row is changed."""
    op.create_table(
        "runs",
        sa.Column("id", _ROW_ID, primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("run_id", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_by_source", "runs", ["source", "run_id"], unique=True)
    op.create_table(
        "told_plans",
        sa.Column("number", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "told_rollouts",
        sa.Column("rollout", sa.String, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
