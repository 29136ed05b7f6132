"""Pydantic models as rows of a table: key, default, what it takes, and what it means."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_UNIONS = (Union, types.UnionType)
_LISTS = (list, tuple, set, frozenset)
_RANGE = (("ge", "from {}"), ("gt", "above {}"), ("le", "to {}"), ("lt", "below {}"))
_NAMED: tuple[tuple[type, str], ...] = (
    (bool, "`true` or `false`"),
    (float, "number"),
    (int, "whole number"),
    (Path, "path"),
    (str, "text"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One key of a table."""

    key: str
    default: str
    takes: str
    meaning: str


def rows(model: type[BaseModel], prefix: str = "", said: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Every key of a model; the keys of the models in it follow right behind the key that holds them.

    Args:
        model: Any pydantic model with a description for each field.
        prefix: What stands before each key, with its dot.
        said: Defaults in words, by key, where the code's own depends on the machine or says little.
    """
    for name, info in model.model_fields.items():
        key = prefix + (info.alias or name)
        yield row(key, info, said)
        for suffix, inner in nested(info.annotation):
            yield from rows(inner, f"{key}{suffix}.", said)


def row(key: str, info: FieldInfo, said: Mapping[str, str] | None = None) -> Row:
    """One field."""
    default = (said or {}).get(key) or default_of(info)
    return Row(key, default, takes(key, info), prose(info.description or ""))


def nested(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models that a field holds, each with what stands behind the field's key: nothing, `[]` or `.<name>`."""
    annotation = _plain(annotation)
    arguments = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    elif get_origin(annotation) in _UNIONS:
        for one in arguments:
            yield from nested(one)
    elif get_origin(annotation) in _LISTS:
        yield from ((f"[]{suffix}", inner) for suffix, inner in nested(arguments[0]))
    elif _is_mapping(annotation):
        yield from ((f".<name>{suffix}", inner) for suffix, inner in nested(arguments[1]))


def default_of(info: FieldInfo) -> str:
    """A default as it is written in a file; empty where nothing is the default."""
    value = info.default
    if info.is_required():
        return "required"
    if value is PydanticUndefined or value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`" if value else "`[]`"
    return f"`{value:g}`" if isinstance(value, float) and value < 1e6 else f"`{value}`"


def takes(key: str, info: FieldInfo) -> str:
    """The form of a value, with its unit and its range."""
    bounds = {name: getattr(one, name) for one in info.metadata for name, _ in _RANGE if hasattr(one, name)}
    form = _form(info.annotation)
    if "number" in form:
        unit = next((unit for unit in ("seconds", "bytes") if key.endswith(f"_{unit}")), "")
        form = " ".join(
            [
                *filter(None, [unit or form]),
                *(text.format(_figure(bounds[name])) for name, text in _RANGE if name in bounds),
            ]
        )
    return form


def prose(text: str) -> str:
    """A description as a cell of a table: no markup but code between backticks."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts).replace("|", "\\|")


def table(found: list[Row], *, takes: bool) -> str:
    """Markdown; the column of forms is left out where each meaning says it already."""
    head = ["key", "default", *(["takes"] if takes else []), "meaning"]
    lines = [head, ["---"] * len(head)]
    for one in found:
        meaning = one.meaning.removeprefix(_escaped(one.takes.replace("`", "")) + ": ") if takes else one.meaning
        lines.append([f"`{one.key}`", one.default, *([one.takes] if takes else []), meaning])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"([*<\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _is_mapping(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _form(annotation: Any) -> str:
    annotation = _plain(annotation)
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return _either([f"`{value}`" for value in arguments])
    if get_origin(annotation) in _UNIONS:
        forms = [_form(one) for one in arguments if one is not type(None)]
        return _either(list(dict.fromkeys(forms)))
    if get_origin(annotation) in _LISTS:
        return "list"
    if _is_mapping(annotation) or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    return next((name for kind, name in _NAMED if isinstance(annotation, type) and issubclass(annotation, kind)), "")


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
