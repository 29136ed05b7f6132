"""What people were told of environments: the part of the store that keeps a restart from telling it again.

None of it is audited, and nothing is decided by it: lost, what is the case is told once more.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select

from reconciler.model import EnvironmentName, ToldNotice, ToldRoute
from reconciler.stores import rows, statements, tables
from reconciler.stores.database import Database


class NotifiedStore:
    """The methods of `ports.Store` for these. The names of routes hold no slash."""

    _database: Database

    def told_route(self, route: str) -> ToldRoute | None:
        """What is remembered of a route; None when nothing is."""
        with self._database.read() as connection:
            text = connection.execute(statements.document_at(tables.told_routes), {"key": route}).scalar()
            return None if text is None else rows.value_of(ToldRoute, text, tables.told_routes.name, route)

    def told_notices(self, route: str) -> Mapping[EnvironmentName, ToldNotice]:
        """What was told of each environment on a route last."""
        table = tables.told_notices
        with self._database.read() as connection:
            found = connection.execute(_OF_ROUTE, {"first": f"{route}/", "behind": f"{route}0"})
            return {
                EnvironmentName(row.notice.partition("/")[2]): rows.value_of(
                    ToldNotice, row.document, table.name, row.notice
                )
                for row in found
            }

    def save_told_notices(
        self, route: str, told: ToldRoute, notices: Mapping[EnvironmentName, ToldNotice | None]
    ) -> None:
        """Remember what was told on a route, in one transaction; None: nothing is told of that environment any more."""

        def put(connection: Connection) -> None:
            statements.put(connection, tables.told_routes, route, {"document": rows.document(told)})
            for environment, notice in notices.items():
                _put(connection, f"{route}/{environment}", notice)

        self._database.write("store:told_notices", put)


def _put(connection: Connection, key: str, notice: ToldNotice | None) -> None:
    if notice is None:
        connection.execute(statements.removal(tables.told_notices), {"key": key})
    else:
        statements.put(connection, tables.told_notices, key, {"document": rows.document(notice)})


_N = tables.told_notices.c
_OF_ROUTE = (
    select(tables.told_notices)
    .where(_N.notice >= bindparam("first"), _N.notice < bindparam("behind"))
    .order_by(_N.notice)
)
"""`0` is the character behind `/`, so all keys of a route lie between the two."""
