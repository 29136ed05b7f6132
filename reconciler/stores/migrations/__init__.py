"""The tables' history, for Alembic. A version, once released, never changes."""
