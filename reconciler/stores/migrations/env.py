"""What Alembic runs to migrate: the steps that are due, inside the transaction of whoever asks.

The connection, its transaction and its lock come from `reconciler.stores.schema`; committing is its part too, so that
a migration that is cut leaves the schema of before.
"""

from __future__ import annotations

from alembic import context

from reconciler.stores.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
