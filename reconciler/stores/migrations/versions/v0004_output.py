"""For what an activation printed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a column; what is there keeps its values, and has the empty text in the new one."""
    op.add_column("attempts", sa.Column("output", sa.Text, nullable=False, server_default=""))
