"""For what people were told of environments, by route."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add to what is there; no row is changed."""
    op.create_table(
        "told_routes",
        sa.Column("route", sa.String, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "told_notices",
        sa.Column("notice", sa.String, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
