"""What is wrong with the settings, in the words of the settings: where, what was found, what is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.core.yamltree import Ambiguous, Tree, dotted
from reconciler.settings import fields
from reconciler.settings.fields import Where
from reconciler.settings.variables import Variables

_TAGS = frozenset({"ApprovalSpec", "literal['none']"})
"""What pydantic puts into a place to tell the members of a union apart."""
_WANTED = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "path_type": "a path",
    "tuple_type": "a list",
    "list_type": "a list",
    "bool_type": "true or false",
}


class Teller:
    """Tells problems of one file and the variables over it."""

    def __init__(self, path: Path | None, tree: Tree, variables: Variables) -> None:
        self._path = path
        self._tree = tree
        self._variables = variables

    def problems(self, invalid: ValidationError) -> list[str]:
        """Every problem once, in the order of the file."""
        errors = [(_where(error), error) for error in invalid.errors(include_url=False) if not _other_branch(error)]
        inner = {where[:-1] for where, _ in errors if where and isinstance(where[-1], int)}
        told = [
            (self._position(where), self._told(where, error))
            for where, error in errors
            if not (error["type"] == "too_short" and where in inner)  # only since its bad entries don't count
        ]
        return list(dict.fromkeys(text for _, text in sorted(told)))

    def _told(self, where: Where, error: ErrorDetails) -> str:
        if error["type"] == "missing":
            return f"{self._about(where)}: this key is required: {fields.meaning(where)}"
        place = self._place(where)
        if error["type"] == "extra_forbidden":
            return f"{place}: {_unknown(where)}"
        found, hint = _found(self._written(where, error["input"]))
        return f"{place}: found {found}; wanted {fields.wanted(where)}" + (f" ({hint})" if hint else "")

    def _place(self, where: Where) -> str:
        return self._variables.setter(where) or self._in_file(where)

    def _about(self, where: Where) -> str:
        """Where a key is missing: in the file that has the section, or in the variables that make it up."""
        above = where[:-1]
        variable = None if above in self._tree.keys else self._variables.below(above)
        return f"{variable}: {dotted(where)}" if variable else self._in_file(where)

    def _written(self, where: Where, value: object) -> object:
        """The value as the file has it: what YAML could mean otherwise is only told apart there."""
        if self._variables.setter(where):
            return value
        found: Any = self._tree.root
        try:
            for part in where:
                found = found[part]
        except (LookupError, TypeError):
            return value
        return found

    def _in_file(self, where: Where) -> str:
        line, column = self._position(where)
        return f"{self._path or 'settings'}:{line}:{column}: {dotted(where)}"

    def _position(self, where: Where) -> tuple[int, int]:
        place = where
        while place and place not in self._tree.spans and place not in self._tree.keys:
            place = place[:-1]
        span = self._tree.keys.get(place) or self._tree.spans.get(place)
        return (span.line, span.column) if span else (1, 1)


def options_in_words(key: str, invalid: ValidationError) -> list[str]:
    """What an adapter says of its options, which nobody but itself knows the model of."""
    return [_option(f"{key}.{dotted(_where(error))}".rstrip("."), error) for error in invalid.errors(include_url=False)]


def _option(key: str, error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key; docs/settings.md lists those of this type"
    if error["type"] == "missing":
        return f"{key}: this key is required"
    if error["type"] == "value_error":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    found, hint = _found(error["input"])
    wanted = _WANTED.get(error["type"]) or error["msg"].removeprefix("Input should be ")
    return f"{key}: found {found}; wanted {wanted}" + (f" ({hint})" if hint else "")


def _where(error: ErrorDetails) -> Where:
    return tuple(part for part in error["loc"] if part not in _TAGS)


def _unknown(where: Where) -> str:
    known = fields.keys(where[:-1])
    close = fields.near(str(where[-1]), known)
    return "no such key; " + (f"{close} " if close else "") + "known: " + ", ".join(known)


def _other_branch(error: ErrorDetails) -> bool:
    """Whether this only says that a mapping is not the word `none`, which nobody meant."""
    return "literal['none']" in error["loc"] and isinstance(error["input"], dict)


def _found(value: object) -> tuple[str, str]:
    if isinstance(value, Ambiguous):
        return value.text, f"YAML reads this as a {value.kind}; write it in full, or in quotes where text is meant"
    if isinstance(value, str):
        # Never the text itself: an address may hold a password, and a token may stand at the wrong key.
        return f"text of {len(value)} characters", ""
    if value is None:
        return "an empty value", ""
    if isinstance(value, bool):
        return ("true" if value else "false"), ""
    if isinstance(value, dict):
        return "a mapping", ""
    if isinstance(value, list | tuple):
        return ("a list" if value else "an empty list"), ""
    return str(value), ""
