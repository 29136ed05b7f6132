"""Values of any shape, made from their types: each text in them is the same one, however deep it stands."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from reconciler.core.declare import Declaration
from tests.factories import NOON

Made = TypeVar("Made")
DECLARATION = Declaration.model_validate(
    {
        "version": 1,
        "artifact": {"name": "shop", "run_id": 101, "sha256": "5e" * 32},
        "target": {"type": "directory", "path": "/srv/shop"},
    }
)


def made(kind: type[Made], text: str, **given: object) -> Made:
    """A value of a dataclass; what is `given` stands in it, all else is made.

    Args:
        kind: The dataclass.
        text: Stands wherever there is a text.
        given: Fields by name.
    """
    hints = get_type_hints(kind)
    return kind(**{name: given[name] if name in given else _value(hint, text) for name, hint in hints.items()})


def _value(kind: Any, text: str) -> object:
    if isinstance(kind, NewType):
        return _value(kind.__supertype__, text)
    plain: dict[object, object] = {
        str: text,
        int: 7,
        bool: True,
        float: 0.5,
        datetime: NOON,
        date: NOON.date(),
        timedelta: timedelta(seconds=90),
        Declaration: DECLARATION,
    }
    if kind in plain:
        return plain[kind]
    if isinstance(kind, type) and is_dataclass(kind):
        return made(kind, text)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[-1]
    return _several(get_origin(kind), get_args(kind), text)


def _several(origin: Any, inner: tuple[Any, ...], text: str) -> object:
    if origin in (Union, types.UnionType):
        return _value(next(one for one in inner if one is not type(None)), text)
    if issubclass(origin, Mapping):
        return {_value(inner[0], text): _value(inner[1], text)}
    if issubclass(origin, Collection):
        return tuple(_value(one, text) for one in inner if one is not ...)
    raise AssertionError(f"no value of {origin}[{inner}] can be made")
