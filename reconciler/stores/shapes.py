"""How values of the model become canonical JSON, and how they are read back; both follow from the type hints.

Each is worked out once for a type. What is usual goes a short way: a value whose texts are all plain is encoded as it
is, and an object whose fields are all right is made at once. What is not usual goes the long way, to the same end.
"""

from __future__ import annotations

import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from reconciler.core import strictjson
from reconciler.core.strictjson import Malformed, Shape

TEXTS = 256
"""Texts of one kind that are remembered with what they say: two megabytes, where they are the words of ten gates."""


def canonical(value: object) -> str:
    """A value of the model, or a tuple of them, as canonical JSON; lone surrogates in its texts are spelled out."""
    text = _ENCODER.encode(value)
    # Any escape of a surrogate, lone or not, begins so; without one there is nothing to spell out.
    return strictjson.canonical(_plain(value)) if "\\ud" in text else text


@functools.cache
def shape(hint: Any) -> Shape:
    """How a value of this type is read. A field that an object lacks takes its default: an older program wrote it."""
    if isinstance(hint, typing.NewType):
        return shape(hint.__supertype__)
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (inner,) = (part for part in typing.get_args(hint) if part is not type(None))
        return strictjson.optional(shape(inner))
    if typing.get_origin(hint) is tuple:
        return strictjson.many(shape(typing.get_args(hint)[0]))
    return _choice(hint) if issubclass(hint, StrEnum) else instance_of(hint, {})


def instance_of(kind: Any, instead: Mapping[str, Shape]) -> Shape:
    """How a dataclass is read, with shapes for fields that are kept in another way than their types say."""
    hints = typing.get_type_hints(kind)
    shapes = {item.name: instead.get(item.name) or shape(hints[item.name]) for item in fields(kind)}
    defaults = {item.name for item in fields(kind) if item.default is not MISSING}
    read = tuple(shapes.items())

    def instance(value: object) -> object:
        if isinstance(value, dict) and value.keys() == shapes.keys():
            try:
                return kind(**{name: field(value[name]) for name, field in read})
            except Malformed:
                pass  # said below, with the field's name
        absent = defaults - value.keys() if isinstance(value, dict) else set()
        return kind(**strictjson.record(value, {name: shapes[name] for name in shapes if name not in absent}))

    return instance


def spelled(hint: Any) -> Shape:
    """How the JSON of a value of this type is read. The last texts are remembered: passes read the same ones again."""

    @functools.lru_cache(maxsize=TEXTS)
    def within(text: str) -> object:
        return shape(hint)(strictjson.load(text))

    return lambda value: within(strictjson.text(value))


# --- writing ------------------------------------------------------------------------------------


def _opened(value: Any) -> object:
    """What JSON knows of a value that it does not know; what is inside comes by here in its turn."""
    kind: Any = type(value)
    return _opener(kind)(value)


@functools.cache
def _opener(kind: Any) -> Callable[[Any], object]:
    if issubclass(kind, datetime):
        return strictjson.time_text
    names = sorted(item.name for item in fields(kind))
    if len(names) == 1:
        return lambda value: {names[0]: getattr(value, names[0])}
    values_of = attrgetter(*names)
    return lambda value: dict(zip(names, values_of(value), strict=True))


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False, default=_opened
)
"""Spells as `strictjson.canonical` does."""


def _plain(value: Any) -> Any:
    """What JSON knows. Texts lose their lone surrogates, which neither a database nor a terminal takes."""
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, datetime):
        return strictjson.time_text(value)
    if isinstance(value, str):
        return strictjson.clean(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


# --- reading ------------------------------------------------------------------------------------


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Malformed("something else where true or false must be")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise Malformed("something else where a number must be")
    return float(value)


_SIMPLE: dict[Any, Shape] = {
    str: strictjson.text,
    int: strictjson.whole,
    float: _number,
    bool: _flag,
    datetime: strictjson.time,
}


def _choice(kind: type[StrEnum]) -> Shape:
    known = {str(word): word for word in kind}

    def choice(value: object) -> StrEnum:
        found = known.get(value) if isinstance(value, str) else None
        if found is None:
            raise Malformed(f"something else where a {kind.__name__.lower()} must be")
        return found

    return choice
