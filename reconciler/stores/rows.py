"""The model's values as rows and documents, and back; strict on the way back.

How a value is written and read follows from its type hints (`shapes`), so that a new field of the model needs nothing
here. A field that a document lacks takes its default: an older program wrote it. Anything else that is odd is
`Malformed`, with the table and the key in its message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar, cast

from sqlalchemy import Row

from reconciler.core import strictjson
from reconciler.core.audit import Entry, parse
from reconciler.core.strictjson import Malformed, Shape
from reconciler.model import Attempt, Declared, GateResult, Release, StageTime, Transition
from reconciler.stores import shapes, tables

Value = TypeVar("Value")

_DECLARED = ("commit", "run_id", "sha256")
_DOCUMENTS = ("before", "approvers", "gates", "stages")
"""Columns of `attempts` that hold JSON."""
_TIMES = ("started", "finished")
_ATTEMPT = tuple(tables.attempts.c.keys())
_TRANSITION = tuple(tables.transitions.c.keys())
_PLAIN = tuple(item.name for item in fields(Attempt) if item.name not in ("id", "declared", *_DOCUMENTS, *_TIMES))
"""Fields of an attempt that are a column as they are."""
_plain_of = attrgetter(*_PLAIN)
_declared_of = attrgetter(*_DECLARED)
_attempt = shapes.instance_of(
    Attempt,
    {
        "before": strictjson.optional(shapes.spelled(Release)),
        "approvers": shapes.spelled(tuple[str, ...]),
        "gates": shapes.spelled(tuple[GateResult, ...]),
        "stages": shapes.spelled(tuple[StageTime, ...]),
    },
)


def document(value: object) -> str:
    """A value of the model as canonical JSON: equal values give equal texts."""
    return shapes.canonical(value)


def value_of(kind: type[Value], text: str, table: str, key: object) -> Value:
    """The value that `document` wrote.

    Raises:
        Malformed: It is none of this kind.
    """
    value = _read(lambda: strictjson.load(strictjson.text(text)), table, key, shapes.shape(cast("Any", kind)))
    return cast("Value", value)


def attempt_columns(attempt: Attempt) -> dict[str, Any]:
    """The columns of an attempt, without its id."""
    columns = dict(zip(_PLAIN, _plain_of(attempt), strict=True))
    columns.update(zip(_DECLARED, _declared_of(attempt.declared), strict=True))
    for name, value in columns.items():
        if isinstance(value, str):
            columns[name] = strictjson.clean(value)
    for name in _DOCUMENTS:
        value = getattr(attempt, name)
        columns[name] = None if value is None else shapes.canonical(value)
    for name in _TIMES:
        value = getattr(attempt, name)
        columns[name] = None if value is None else strictjson.time_text(value)
    return columns


def attempt_of(row: Row[Any]) -> Attempt:
    """The attempt that a whole row of `attempts` holds.

    Raises:
        Malformed: The row can't be read.
    """

    def nested() -> object:
        plain = dict(zip(_ATTEMPT, row, strict=True))
        plain["declared"] = {name: plain.pop(name) for name in _DECLARED}
        return plain

    return cast("Attempt", _read(nested, "attempts", row.id, _attempt))


def declared_of(row: Row[Any, Any, Any]) -> Declared:
    """What a row with the three columns says was declared.

    Raises:
        Malformed: The row can't be read.
    """
    plain = dict(zip(_DECLARED, row, strict=True))
    return cast("Declared", _read(lambda: plain, "attempts", row[0], shapes.shape(Declared)))


def transition_of(row: Row[Any]) -> Transition:
    """The transition that a whole row of `transitions` holds.

    Raises:
        Malformed: The row can't be read.
    """
    plain = dict(zip(_TRANSITION, row, strict=True))
    return cast("Transition", _read(lambda: plain, "transitions", row.id, shapes.shape(Transition)))


def entry_of(seq: int, line: str) -> Entry:
    """The audit entry that a row of `audit` holds.

    Raises:
        Malformed: The row can't be read.
    """
    try:
        return parse(strictjson.text(line).encode())
    except Malformed as found:
        raise Malformed(f"row {seq} of table audit can't be read: {found}") from None


def _read(plain: Callable[[], object], table: str, key: object, shape: Shape) -> Any:
    try:
        return shape(plain())
    except Malformed as found:
        raise Malformed(f"row {key!r} of table {table} can't be read: {found}") from None
