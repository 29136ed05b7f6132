"""Environment variables that set a value: which there are, which of them mean nothing, and who set what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.core.yamltree import dotted
from reconciler.settings import fields
from reconciler.settings.fields import Where
from reconciler.settings.model import DELIMITER, PREFIX

NOT_SETTINGS = frozenset({"RECONCILER_CONFIG", "RECONCILER_DEMO_DIR"})
"""They say where the settings are, and are none."""

_HOLDERS = frozenset({"token_env", "key_env", "webhook_secret_env", "password_env", "url_env"})
"""Keys that name the variable which holds a secret."""


class Variables:
    """The variables of one process.

    Args:
        environment: All of its variables. An empty one counts as unset.
        values: The settings file's. A variable that these name as the holder of a secret is no setting.
    """

    def __init__(self, environment: Mapping[str, str], values: Mapping[str, Any]) -> None:
        apart = NOT_SETTINGS | set(_tokens(values))
        self._texts = {
            name: text
            for name, text in environment.items()
            if name.upper().startswith(PREFIX) and name not in apart and text
        }
        self._places: dict[Where, str] = {_place(name): name for name in self._texts}

    def problems(self) -> list[str]:
        """Every variable that sets nothing, or can't be read."""
        told = ((name, self._problem(place, self._texts[name])) for place, name in self._places.items())
        return [f"{name}: {problem}" for name, problem in told if problem]

    def setter(self, where: Where) -> str | None:
        """The variable that a place has its value from, with the key inside of it; None: no variable."""
        for length in range(len(where), 0, -1):
            name = self._places.get(where[:length])
            if name and _holds(self._texts[name], where[length:]):
                return f"{name}: {dotted(where[length:])}" if where[length:] else name
        return None

    def below(self, where: Where) -> str | None:
        """A variable that sets a place, or something inside of it."""
        return next((name for place, name in self._places.items() if place[: len(where)] == where), None)

    def _problem(self, place: Where, text: str) -> str:
        if not fields.exists(place):
            known = {_name(item): item for item in fields.places()}
            close = fields.near(_name(place), known)
            return "there is no such setting" + (f"; {close}" if close else "; docs/settings.md lists every key")
        if fields.takes_json(place) and not isinstance(_json(text), dict | list):
            return f"found text that is no JSON list or mapping; wanted {fields.wanted(place)}"
        return ""


def _place(name: str) -> Where:
    return tuple(name[len(PREFIX) :].lower().split(DELIMITER))


def _name(place: Where) -> str:
    return PREFIX + DELIMITER.join(str(part).upper() for part in place)


def _tokens(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _tokens(value)
        elif isinstance(value, list):
            yield from (name for item in value if isinstance(item, dict) for name in _tokens(item))
        elif key in _HOLDERS and isinstance(value, str):
            yield value


def _holds(text: str, rest: Where) -> bool:
    value: Any = _json(text) if rest else None
    for part in rest:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return False
    return True


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
