"""For how long each stage of an attempt took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add a column; what is there keeps its values, and has an empty list in the new one."""
    op.add_column("attempts", sa.Column("stages", sa.Text, nullable=False, server_default="[]"))
