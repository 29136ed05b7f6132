"""What may stand at a place of the settings, in words: from the models, so that no list is kept twice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reconciler.bounds import Bounds
from reconciler.core.declare import ApprovalSpec
from reconciler.core.policyfile import FloorSpec
from reconciler.core.provenance import Provenance
from reconciler.secretkeeper import SecretAllowance, SecretSettings
from reconciler.settings.model import (
    AuditSettings,
    PluggedSettings,
    RepositorySettings,
    Settings,
    SourceSettings,
    WebSettings,
)
from reconciler.settings.notifying import NotificationSettings, RouteSettings

Where = tuple[str | int, ...]
"""A place: the keys, and indices, that lead to it."""

_NAME = "<name>"
_SECTIONS: dict[Where, type[BaseModel]] = {  # an index is written as 0
    (): Settings,
    ("repository",): RepositorySettings,
    ("forge",): PluggedSettings,
    ("sources", _NAME): SourceSettings,
    ("sources", _NAME, "provenance"): Provenance,
    ("new_environments",): ApprovalSpec,
    ("floors", 0): FloorSpec,
    ("secrets",): SecretSettings,
    ("secrets", "allow", 0): SecretAllowance,
    ("audit",): AuditSettings,
    ("web",): WebSettings,
    ("notifications",): NotificationSettings,
    ("notifications", "routes", 0): RouteSettings,
    ("bounds",): Bounds,
}
_BY_NAME = frozenset({"sources", "targets", "activators", "probes"})
_WITH_OPTIONS = frozenset({"forge", *_BY_NAME})
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def keys(where: Where) -> dict[str, FieldInfo]:
    """The keys that we know of below a place."""
    section = _SECTIONS.get(_general(where))
    return {info.alias or name: info for name, info in section.model_fields.items()} if section else {}


def exists(where: Where) -> bool:
    """Whether something may stand there; below an adapter's options, anything may."""
    if not where:
        return True
    section = _SECTIONS.get(_general(where[:-1]))
    if section is None:
        return where[0] in _WITH_OPTIONS and exists(where[:-1])
    return where[-1] in keys(where[:-1]) or section.model_config.get("extra") == "allow"


def places() -> Iterator[Where]:
    """Every place that has a fixed name."""
    for where in _SECTIONS:
        if _NAME not in where and 0 not in where:
            yield from ((*where, key) for key in keys(where))


def meaning(where: Where) -> str:
    """What a key is for."""
    info = _field(where)
    return (info.description or "").rstrip(".") if info else ""


def wanted(where: Where) -> str:
    """What a value must be, and what it is for."""
    info = _field(where)
    if info is None:
        return "a mapping" if len(where) == 2 else "another value"  # one of those that have a name
    if isinstance(where[-1], int):
        return f"{'a mapping' if _general(where) in _SECTIONS else 'text'}: {meaning(where)}"
    if _is_approval(where[:-1]) or get_origin(info.annotation) is Literal:
        return meaning(where)  # written to be read as what is wanted
    return f"{kind(info.annotation)}{_range(info.metadata)}: {meaning(where)}"


def _is_approval(where: Where) -> bool:
    section = _SECTIONS.get(_general(where))
    return section is not None and issubclass(section, ApprovalSpec)


def takes_json(where: Where) -> bool:
    """Whether a variable for it is written as JSON: a list or a mapping."""
    info = _field(where)
    kinds = kind(info.annotation) if info else wanted(where)
    return kinds.startswith(("a list", "a mapping")) and "or none" not in kinds


def kind(annotation: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(kind(item) for item in inner if item is not NoneType)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is tuple:
        return "a list of mappings" if issubclass(inner[0], BaseModel) else "a list of text"
    return _KINDS.get(annotation, "a mapping")


def near(word: str, words: Iterable[str]) -> str:
    """The question that helps after a slip of the pen; empty when nothing is close."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"did you mean {close[0]}?" if close else ""


def _field(where: Where) -> FieldInfo | None:
    while where and isinstance(where[-1], int):
        where = where[:-1]
    return keys(where[:-1]).get(str(where[-1])) if where else None


def _general(where: Where) -> Where:
    if len(where) > 1 and where[0] in _BY_NAME:
        where = (where[0], _NAME, *where[2:])
    return tuple(0 if isinstance(part, int) else part for part in where)


def _range(limits: Iterable[object]) -> str:
    low = next((f" from {limit.ge}" for limit in limits if isinstance(limit, Ge)), "")
    above = next((f" above {limit.gt}" for limit in limits if isinstance(limit, Gt)), "")
    high = next((f" to {limit.le}" for limit in limits if isinstance(limit, Le)), "")
    some = next((" with at least one entry" for limit in limits if isinstance(limit, MinLen)), "")
    return low + above + high + some
