"""Typed reading of GitHub's answers. Models live with the adapters that need them; here is what they share."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from reconciler.net import Unavailable

_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
_SHOWN_PROBLEMS = 3


def _instant(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("not an RFC 3339 time with a zone")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        raise ValueError("a time out of range") from None


Instant = Annotated[datetime, BeforeValidator(_instant)]
"""A time as GitHub writes it (`2026-03-01T12:00:00Z`), in UTC."""


class GitHubAnswer(BaseModel):
    """Base of all models: fields of their very types, others left aside, since GitHub adds new ones at any time."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)


_Model = TypeVar("_Model", bound=BaseModel)


def read(model: type[_Model], data: object, unavailable: Unavailable) -> _Model:
    """An answer as a model.

    Args:
        model: Its shape.
        data: The decoded JSON.
        unavailable: How an answer of another shape is told: it is no answer.

    Raises:
        Transient: Naming the field.
    """
    try:
        # By way of JSON, which has no tuples or enums of its own: strict is then about JSON's types.
        return model.model_validate_json(json.dumps(data))
    except (ValidationError, RecursionError) as invalid:
        raise unavailable(
            f"GitHub's answer can't be understood: {_told(invalid)}",
            "nothing to do if it happens once: it is tried again; if it stays, this GitHub is too old or too new",
        ) from None


def _told(invalid: ValidationError | RecursionError) -> str:
    if isinstance(invalid, RecursionError):
        return "nested too deep"
    problems = invalid.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(_problem(error["loc"], error["msg"]) for error in problems[:_SHOWN_PROBLEMS])


def _problem(place: tuple[int | str, ...], wanted: str) -> str:
    where = ".".join(str(part) if isinstance(part, int) else ascii(part)[1:-1] for part in place)
    return f"{where[:80] or 'the answer'}: {wanted.removeprefix('Value error, ')}"
