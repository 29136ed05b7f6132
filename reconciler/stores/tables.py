"""The tables, in SQLAlchemy Core and in no database's dialect.

Times are texts as `strictjson.time_text` writes them, documents are its canonical JSON: both read the same in every
database, and sort and compare as bytes. A change here needs a new module under `migrations/versions` and its
name at the end of `VERSIONS`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every version of the schema that this program knows, oldest first; it works on the last."""

metadata = MetaData()

_ROW_ID = BigInteger().with_variant(Integer, "sqlite")


def _documents(name: str, key: str) -> Table:
    """One document for each key."""
    return Table(name, metadata, Column(key, String, primary_key=True), Column("document", Text, nullable=False))


lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("holder", String, nullable=False),
    Column("token", BigInteger, nullable=False),
)
"""One row, id 1: who holds the lease, and the largest fencing token ever given."""

branch = Table(
    "branch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("tip", String, nullable=False),
)
"""One row, id 1: the last accepted tip of the tracked branch."""

statuses = Table(
    "statuses",
    metadata,
    Column("environment", String, primary_key=True),
    Column("sync", String, nullable=False),
    Column("health", String, nullable=False),
    Column("reason", String),
    Column("document", Text, nullable=False),
)

accepted = _documents("accepted", "environment")

hands = _documents("hands", "environment")

soaks = _documents("soaks", "environment")

policy = Table(
    "policy",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)
"""One row, id 1: the policy that is in force."""

rewrites = Table(
    "rewrites",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""Only ever appended to."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("entries", _ROW_ID, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)
"""Only ever appended to; one for each length that the chain had."""

runs = Table(
    "runs",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("source", String, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("runs_by_source", "source", "run_id", unique=True),
    sqlite_autoincrement=True,
)
"""What CI said of a run; the larger the id, the later it was saved."""

told_plans = Table(
    "told_plans",
    metadata,
    Column("number", _ROW_ID, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)
"""One for each open pull request on which a plan was told."""

told_rollouts = _documents("told_rollouts", "rollout")
"""One for each rollout of which something may still be told; the document is a text."""

told_routes = _documents("told_routes", "route")
"""One for each route that people are told of environments on."""

told_notices = _documents("told_notices", "notice")
"""One for each environment of which something was told on a route: the key is `<route>/<environment>`."""

attempts = Table(
    "attempts",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("environment", String, nullable=False),
    Column("action", String, nullable=False),
    Column("commit", String),
    Column("run_id", BigInteger),
    Column("sha256", String),
    Column("before", Text),
    Column("started", String, nullable=False),
    Column("request", Text, nullable=False),
    Column("approvers", Text, nullable=False),
    Column("gates", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("finished", String),
    Column("outcome", String),
    Column("reason", String),
    Column("message", Text, nullable=False),
    Column("plan", String, nullable=False, server_default=""),
    Column("output", Text, nullable=False, server_default=""),
    Column("stages", Text, nullable=False, server_default="[]"),
    Index("attempts_by_environment", "environment", "id"),
    Index("attempts_by_outcome", "outcome"),
    Index("attempts_by_end", "environment", "outcome", "id", "finished"),
    sqlite_autoincrement=True,
)
"""`before`, `approvers`, `gates` and `stages` are documents. No outcome: intended, and not known how it ended."""

transitions = Table(
    "transitions",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("at", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("sync", String, nullable=False),
    Column("health", String, nullable=False),
    Column("reason", String),
    Column("message", Text, nullable=False),
    Column("live", String, nullable=False),
    Index("transitions_by_environment", "environment", "id"),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _ROW_ID, primary_key=True, autoincrement=False),
    Column("hash", String, nullable=False),
    Column("line", Text, nullable=False),
)
"""The chain. `line` is what `core.audit.line` made, newline included; the database refuses to change a row."""
