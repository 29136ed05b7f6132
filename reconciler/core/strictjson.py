"""JSON with one spelling: written one way only, and read back only when it has the wanted shape.

For what this program wrote itself and must recognise to the byte: audit lines, rows of the store. A shape is a
function that takes a decoded value and gives the typed one, or raises `Malformed`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

Shape = Callable[[object], object]

_HEX = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class Malformed(ValueError):
    """A value that is not what was written, or not of the wanted shape."""


def canonical(value: object) -> str:
    """The one spelling: keys sorted, no spaces, everything outside ASCII as an escape."""
    return _ENCODER.encode(value)


def load(text: str | bytes) -> object:
    """Decode ASCII JSON without duplicate keys.

    Raises:
        Malformed: It is something else, or nested too deeply.
    """
    try:
        value: object = _DECODER.decode(text.decode("ascii") if isinstance(text, bytes) else text)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("not JSON in ASCII") from None
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed("a key that stands twice")
    return document


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def clean(text: str) -> str:
    """The text with every lone surrogate (a byte of a file name that is no UTF-8, say) spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def time_text(at: datetime) -> str:
    """An aware time, in UTC and to the microsecond: `2026-03-01T12:00:00.000000Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


# --- shapes -------------------------------------------------------------------------------------


def text(value: object) -> str:
    """A text of whole characters."""
    if not isinstance(value, str) or not (value.isascii() or clean(value) == value):
        raise Malformed("something else where a text must be")
    return value


def whole(value: object) -> int:
    """A number from 0 that 63 bits hold."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise Malformed("something else where a whole number must be")
    return value


def hex64(value: object) -> str:
    """A SHA-256."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Malformed("something else where 64 lower-case hex digits must be")
    return value


def time(value: object) -> datetime:
    """A time as `time_text` writes it."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise Malformed("something else where a time like 2026-03-01T12:00:00.000000Z must be")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise Malformed("a time that no calendar has") from None


def optional(shape: Shape) -> Shape:
    """Null, or the shape."""
    return lambda value: None if value is None else shape(value)


def many(shape: Shape) -> Shape:
    """A list of the shape, as a tuple."""

    def items(value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise Malformed("something else where a list must be")
        return tuple(shape(item) for item in value)

    return items


def record(value: object, shapes: dict[str, Shape]) -> dict[str, object]:
    """An object with exactly these fields, each in its shape.

    Raises:
        Malformed: A field is missing, unknown, or of another shape; its name is in the message.
    """
    if not isinstance(value, dict):
        raise Malformed("something else where an object must be")
    odd = sorted(value.keys() ^ shapes.keys())
    if odd:
        raise Malformed("missing or unknown fields: " + ", ".join(ascii(name)[:40] for name in odd[:5]))
    return {name: _field(name, value[name], shape) for name, shape in shapes.items()}


def _field(name: str, value: object, shape: Shape) -> object:
    try:
        return shape(value)
    except Malformed as found:
        raise Malformed(f"{name}: {found}") from None
