"""The model's values as rows and documents, and back; strict on the way back.

How a value is read follows from its type hints, so that a new field of the model needs nothing here. A field that a
document lacks takes its default: an older program wrote it. Anything else that is odd is `Malformed`, with the
table and the key in its message.
"""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import RowMapping

from reconciler.core import strictjson
from reconciler.core.audit import Entry, parse
from reconciler.core.strictjson import Malformed, Shape
from reconciler.model import Attempt, Transition

Value = TypeVar("Value")

_DECLARED = ("commit", "run_id", "sha256")
_DOCUMENTS = ("before", "approvers", "gates")
"""Columns of `attempts` that hold JSON."""


def document(value: object) -> str:
    """A value of the model as canonical JSON: equal values give equal texts."""
    return strictjson.canonical(_plain(value))


def value_of(kind: type[Value], text: str, table: str, key: object) -> Value:
    """The value that `document` wrote.

    Raises:
        Malformed: It is none of this kind.
    """
    return _read(kind, lambda: strictjson.load(strictjson.text(text)), table, key)


def attempt_columns(attempt: Attempt) -> dict[str, Any]:
    """The columns of an attempt, without its id."""
    plain: dict[str, Any] = _plain(attempt)
    declared = plain.pop("declared")
    del plain["id"]
    for name in _DOCUMENTS:
        plain[name] = None if plain[name] is None else strictjson.canonical(plain[name])
    columns: dict[str, Any] = plain | declared
    return columns


def attempt_of(row: RowMapping) -> Attempt:
    """The attempt that a row of `attempts` holds.

    Raises:
        Malformed: The row can't be read.
    """

    def nested() -> object:
        plain = dict(row)
        plain["declared"] = {name: plain.pop(name) for name in _DECLARED}
        for name in _DOCUMENTS:
            plain[name] = None if plain[name] is None else strictjson.load(strictjson.text(plain[name]))
        return plain

    return _read(Attempt, nested, "attempts", row["id"])


def transition_of(row: RowMapping) -> Transition:
    """The transition that a row of `transitions` holds.

    Raises:
        Malformed: The row can't be read.
    """
    return _read(Transition, lambda: dict(row), "transitions", row["id"])


def entry_of(seq: int, line: str) -> Entry:
    """The audit entry that a row of `audit` holds.

    Raises:
        Malformed: The row can't be read.
    """
    try:
        return parse(strictjson.text(line).encode())
    except Malformed as found:
        raise Malformed(f"row {seq} of table audit can't be read: {found}") from None


def _read(kind: type[Value], plain: Callable[[], object], table: str, key: object) -> Value:
    try:
        value: Any = _shape(typing.cast("Any", kind))(plain())
    except Malformed as found:
        raise Malformed(f"row {key!r} of table {table} can't be read: {found}") from None
    return typing.cast("Value", value)


def _plain(value: Any) -> Any:
    """What JSON knows. Texts lose their lone surrogates, which neither a database nor a terminal takes."""
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, datetime):
        return strictjson.time_text(value)
    if isinstance(value, str):
        return strictjson.clean(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@functools.cache
def _shape(hint: Any) -> Shape:
    """How a value of this type is read."""
    simple: dict[Any, Shape] = {
        str: strictjson.text,
        int: strictjson.whole,
        float: _number,
        bool: _flag,
        datetime: strictjson.time,
    }
    if isinstance(hint, typing.NewType):
        return _shape(hint.__supertype__)
    if hint in simple:
        return simple[hint]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (inner,) = (part for part in typing.get_args(hint) if part is not type(None))
        return strictjson.optional(_shape(inner))
    if typing.get_origin(hint) is tuple:
        return strictjson.many(_shape(typing.get_args(hint)[0]))
    return _choice(hint) if issubclass(hint, StrEnum) else _dataclass(hint)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Malformed("something else where true or false must be")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise Malformed("something else where a number must be")
    return float(value)


def _choice(kind: type[StrEnum]) -> Shape:
    def choice(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in tuple(kind):
            raise Malformed(f"something else where a {kind.__name__.lower()} must be")
        return kind(value)

    return choice


def _dataclass(kind: Any) -> Shape:
    hints = typing.get_type_hints(kind)
    shapes = {item.name: _shape(hints[item.name]) for item in fields(kind)}
    defaults = {item.name for item in fields(kind) if item.default is not MISSING}

    def instance(value: object) -> object:
        absent = defaults - value.keys() if isinstance(value, dict) else set()
        return kind(**strictjson.record(value, {name: shapes[name] for name in shapes if name not in absent}))

    return instance
