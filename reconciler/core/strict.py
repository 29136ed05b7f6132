"""A document's tree into a strict model, or into every problem of it at once.

The model's field descriptions are at once the JSON Schema that editors use and the "wanted" of each problem.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Set
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from reconciler.core.yamltree import MAX_PROBLEMS, Ambiguous, Malformed, Path, Problem, Span, Tree, Value, dotted

_KINDS = {"int": "an integer", "float": "a fraction", "bool": "a boolean", "timestamp": "a date"}
_WRITE = {
    "int_type": "write it as a plain decimal number",
    "string_type": "put it in quotes",
    "bool_type": "write true or false",
}
_TAGS = frozenset({"ApprovalSpec", "literal['none']"})
"""What pydantic puts into a place to tell the members of a union apart."""
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9./-]{0,79}")
_SIMPLE = re.compile(r"[A-Za-z0-9@*._/+-]{1,80}")
_EMPTY = Ambiguous("", "null")
_TOLD = "told"


class Strict(BaseModel):
    """Frozen, no conversions, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=False)


Model = TypeVar("Model", bound=Strict)


def _printable(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError("nothing that can be printed")
    return value


Text = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=200)]
"""One line for people."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RunNumber = Annotated[int, Field(ge=1, le=2**63 - 1)]
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")


def told(at: str, found: str, wanted: str, hint: str = "") -> PydanticCustomError:
    """What a validator raises that knows more than that a value is wrong.

    Args:
        at: Of several fields the one that it is about; empty for the value that was validated.
        found: What stands there.
        wanted: Empty: what the field's description says.
        hint: How to mend it.
    """
    context = {"at": at, "found": found, "wanted": wanted, "hint": hint}
    return PydanticCustomError(_TOLD, "{found}; wanted {wanted}", context)


def with_unit(value: object) -> object:
    """Looks at what should be a duration before its kind is judged: quotes make none of a number, a unit does."""
    number = value if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    if _NUMBER.fullmatch(text := str(number)):
        raise told("", f"the text {text!r}" if isinstance(value, str) else text, "", f"add a unit: {text}s")
    return value


def validated(model: type[Model], file: str, tree: Tree) -> Model:
    """The tree as a value of the model.

    Args:
        model: What is wanted.
        file: The document's name, for messages.
        tree: What it says.

    Raises:
        Malformed: With every problem, in order of place.
    """
    try:
        return model.model_validate(_tuples(tree.root))
    except ValidationError as invalid:
        teller = _Teller(model, file, tree)
        errors = invalid.errors(include_url=False)
        inner = {error["loc"][:-1] for error in errors if error["loc"]}
        problems = {teller.problem(error) for error in errors if not _follows(error, inner)}
        ordered = sorted(problems, key=lambda p: (p.line, p.column, p.at))
        raise Malformed(tuple(ordered[:MAX_PROBLEMS])) from None


def leaves(model: Strict) -> dict[str, object]:
    """A document's leaves by dotted path; a list is one leaf."""
    found: dict[str, object] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            found[prefix] = value

    walk("", model.model_dump(by_alias=True))
    return found


def schema(model: type[Strict], name: str, title: str) -> dict[str, object]:
    """The JSON Schema of a model, for editors."""
    from reconciler.core.editors import ForEditors  # takes its time to load, and only `schema` needs it

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{name}.schema.json",
        **model.model_json_schema(by_alias=True, schema_generator=ForEditors),
        "title": title,
    }


def _tuples(value: Value) -> Value:
    """Lists as tuples: the strict model holds nothing that can change. An empty value is no word for a default."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return _EMPTY if value is None else value


def _follows(error: ErrorDetails, inner: Set[tuple[int | str, ...]]) -> bool:
    """Whether nobody needs to be told of this: what was wrong is told elsewhere, or is no mistake.

    A mapping is not the word `none`, which nobody meant; and a list is too short where its bad entries don't count.
    """
    if error["type"] == "too_short":
        return error["loc"] in inner
    return "literal['none']" in error["loc"] and isinstance(error["input"], dict)


class _Teller:
    """Tells the problems of one document."""

    def __init__(self, model: type[Strict], file: str, tree: Tree) -> None:
        self._model = model
        self._file = file
        self._tree = tree

    def problem(self, error: ErrorDetails) -> Problem:
        """One of pydantic's errors in the words of the document."""
        path = tuple(part for part in error["loc"] if part not in _TAGS)
        if error["type"] == "missing":
            return self._at(path[:-1], path, "nothing", self._wanted(path), "add this field")
        if error["type"] == "extra_forbidden":
            return self._unknown(path)
        if error["type"] == _TOLD:
            said = cast("dict[str, str]", error["ctx"])
            key = (*path, said["at"]) if said["at"] else ()
            return self._at(key, key or path, said["found"], said["wanted"] or self._wanted(path), said["hint"])
        place = _nearest(self._tree.spans, path)
        found, hint = _found(error["input"], error["type"])
        return Problem(self._file, place.line, place.column, dotted(path), found, self._wanted(path), hint)

    def _unknown(self, path: Path) -> Problem:
        allowed = list(self._fields(path[:-1]))
        wanted = "one of " + ", ".join(allowed)
        close = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        hint = f"did you mean {close[0]}?" if close else ""
        return self._at(path, path[:-1], f"the unknown key {str(path[-1])!r}", wanted, hint)

    def _at(self, key: Path, about: Path, found: str, wanted: str, hint: str) -> Problem:
        place = self._tree.keys.get(key) or _nearest(self._tree.spans, about)
        return Problem(self._file, place.line, place.column, dotted(about), found, wanted, hint)

    def _fields(self, path: Path) -> dict[str, _Key]:
        """Keys allowed at a path: for each what is below it, and what it wants."""
        model: type[Strict] | None = self._model
        for part in self._known(path):
            model = _keys(model).get(part, _NO_KEY).model
        return _keys(model)

    def _wanted(self, path: Path) -> str:
        known = self._known(path)
        if not known:
            return "a mapping with the keys " + ", ".join(self._fields(()))
        return self._fields(known[:-1]).get(known[-1], _NO_KEY).wanted

    def _known(self, path: Path) -> tuple[str, ...]:
        """A path without places in lists, and without names that people chose."""
        known: list[str] = []
        model: type[Strict] | None = self._model
        chosen = False
        for part in path:
            if isinstance(part, str) and not chosen:
                key = _keys(model).get(part, _NO_KEY)
                known.append(part)
                model, chosen = key.model, key.names
            else:
                chosen = False
        return tuple(known)


class _Key(NamedTuple):
    model: type[Strict] | None
    """What stands below it, if that has keys."""
    wanted: str
    names: bool
    """Whether the keys right below are names that people chose."""


_NO_KEY = _Key(None, "something else", names=False)


def _keys(model: type[Strict] | None) -> dict[str, _Key]:
    fields = model.model_fields.items() if model else ()
    return {
        info.alias or name: _Key(_below(info.annotation), info.description or "", get_origin(info.annotation) is dict)
        for name, info in fields
    }


def _below(annotation: Any) -> type[Strict] | None:
    """The model inside of `Model`, `Model | None`, `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    inner = (_below(item) for item in get_args(annotation) if item is not Ellipsis)
    return next((model for model in inner if model), None)


def _found(value: object, error: str) -> tuple[str, str]:
    """What stands there, and how to write what was meant; `error` is pydantic's word for what is wrong."""
    if value is _EMPTY:
        return "an empty value", ""
    if isinstance(value, Ambiguous):
        kind = _KINDS.get(value.kind, f"a {value.kind}")
        return value.text, f"YAML reads this as {kind}; {_WRITE.get(error, 'write it in full')}"
    if isinstance(value, int | float) and not isinstance(value, bool) and error == "string_type":
        return str(value), _WRITE[error]
    if isinstance(value, str):
        shown = value if len(value) <= 80 else value[:77] + "..."
        length = f" of {len(value)} characters" if len(value) > 40 else ""
        return f"the text {shown!r}{length}", f"write {_as_list(value)}" if error == "tuple_type" else ""
    if isinstance(value, bool):
        return "true" if value else "false", ""
    if isinstance(value, dict):
        return "a mapping", ""
    if isinstance(value, tuple):
        return (
            f"a list of {len(value)} entries" if error == "too_long" else "a list" if value else "an empty list"
        ), ""
    return str(value), ""


def _as_list(value: str) -> str:
    """A list of this alone, in quotes where YAML wants them."""
    return f"[{value}]" if _BARE.fullmatch(value) else f'["{value}"]' if _SIMPLE.fullmatch(value) else "a list"


def _nearest(spans: dict[Path, Span], path: Path) -> Span:
    while path and path not in spans:
        path = path[:-1]
    return spans.get(path) or Span(1, 1, 0, 0)
