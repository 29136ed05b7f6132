"""Values on the command line, made without pydantic: loading it would take most of the time that `get --help` takes.

typer makes an adapter of pydantic's for each parameter, when it has none yet; here each gets its own before. A typer
that keeps them elsewhere makes its own again: then the words of a mistake differ, and nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import typer


@dataclass(frozen=True, slots=True)
class Plain:
    """Text as a path, a number, a choice, or itself."""

    kind: type
    least: int | None = None
    most: int | None = None

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """What the command is given.

        Raises:
            typer.BadParameter: The text is none of that kind.
        """
        if param.multiple or param.nargs == -1:
            return [self._one(item, param, ctx) for item in value or ()]
        return None if value is None else self._one(value, param, ctx)

    def _one(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, self.kind) and self.kind is not int:
            return value
        try:
            made = self._choice(str(value)) if issubclass(self.kind, Enum) else self._made(value)
        except ValueError:
            made = None
        if made is None or not self._within(made):
            raise typer.BadParameter(self._wanted(str(value)), ctx=ctx, param=param)
        return made

    def _made(self, value: Any) -> Any:
        make: Callable[[Any], Any] = self.kind
        return make(value)

    def _choice(self, text: str) -> Any:
        return next((item for item in self._choices() if item.value == text), None)

    def _choices(self) -> Sequence[Enum]:
        return list(self.kind) if issubclass(self.kind, Enum) else ()

    def _within(self, made: Any) -> bool:
        if self.kind is not int:
            return True
        return (self.least is None or made >= self.least) and (self.most is None or made <= self.most)

    def _wanted(self, text: str) -> str:
        found = f"found {text[:80]!r}; wanted "
        if self.kind is not int:
            names = [str(item.value) for item in self._choices()]
            close = difflib.get_close_matches(text.lower(), names, n=1)
            return f"{found}one of {', '.join(names)}" + (f"; did you mean {close[0]}?" if close else "")
        least = "" if self.least is None else f" of at least {self.least}"
        most = "" if self.most is None else f"{' and' if least else ' of'} at most {self.most}"
        return f"{found}a whole number{least}{most}"


def lighten(params: Iterable[Any]) -> None:
    """Give parameters of plain kinds what makes their values."""
    for param in params:
        descriptor = getattr(param, "type_descriptor", None)
        if descriptor is not None and (made := _made(descriptor)) is not None:
            param._runtime_param = made  # noqa: SLF001 - where typer keeps its own


def _made(descriptor: Any) -> Plain | None:
    kind, info = descriptor.annotation, descriptor.parameter_info
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
    if info.parser is not None or not isinstance(kind, type):
        return None
    if kind is int:
        return Plain(int, info.min, info.max)
    if kind is Path:
        return None if info.exists or info.resolve_path or info.writable else Plain(Path)
    return Plain(kind) if kind in (str, bool) or issubclass(kind, Enum) else None
