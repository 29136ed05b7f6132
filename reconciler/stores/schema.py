"""Brings a database to the version that this program works on, and refuses one that it doesn't know.

A database that is up to date is only read, and Alembic is not even imported. Otherwise the steps that are due run
under a lock and in one transaction: of two processes that open a new store one waits, and one that is killed
in the middle leaves the version of before.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, inspect, text

from reconciler.errors import Reason, Terminal
from reconciler.ports import Trace
from reconciler.stores import sqlite
from reconciler.stores.tables import VERSIONS

_MIGRATIONS = Path(__file__).parent / "migrations"
_ALEMBIC = Lock()
"""Alembic keeps the migration that runs in module globals."""


def prepare(engine: Engine, path: Path, trace: Trace) -> None:
    """Make the database ready for use.

    Raises:
        Terminal: `StoreUnavailable`: a newer program, or another one, wrote it.
    """
    if _ready(engine, path):
        return
    with sqlite.alone(path):
        if _ready(engine, path):  # another process was faster
            return
        sqlite.log_ahead(engine)
        with sqlite.writing(engine) as connection:
            _migrate(connection)
            trace("store:schema")


def _ready(engine: Engine, path: Path) -> bool:
    with sqlite.reading(engine) as connection:
        version = _version(connection, path)
        if version is not None and version not in VERSIONS:
            raise _refused(
                f"the store {path} has version {version[:40]!r}; this program knows up to {VERSIONS[-1]}",
                "a newer reconciler wrote it: use that version again, or move the file away to start a new one",
            )
        return version == VERSIONS[-1] and sqlite.logs_ahead(connection)


def _version(connection: Connection, path: Path) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    if tables:
        raise _refused(
            f"{path} is a database of another program: it has the table {tables[0][:40]!r}",
            "give the store a file of its own in the settings",
        )
    return None


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        with _ALEMBIC:
            command.upgrade(config, VERSIONS[-1])
    except CommandError as error:
        raise _refused(f"the store can't be migrated: {error}", "install reconciler anew") from error


def _refused(message: str, hint: str) -> Terminal:
    return Terminal(Reason.STORE_UNAVAILABLE, message, hint)
