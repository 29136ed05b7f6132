"""The HTTP API, read from the application's own description of itself (OpenAPI)."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.web import application
from tools.docsite.keys import prose

_METHODS = ("get", "post", "put", "patch", "delete")
"""A `head` is a `get` without its answer."""
_OURS = {"HTTPValidationError", "ValidationError"}
"""Shapes that the framework adds, and that a caller never needs to take apart."""


def reference() -> str:
    """Every route, then every shape of an answer: the body of a page."""
    return render(described())


def render(document: Mapping[str, Any]) -> str:
    """The same of any description."""
    paths = document.get("paths", {})
    parts = [
        "\n".join(_route(path, method, paths[path][method]))
        for path in sorted(paths)
        for method in _METHODS
        if method in paths[path]
    ]
    schemas = document.get("components", {}).get("schemas", {})
    shapes = [_shape(name, schemas[name]) for name in sorted(schemas) if name not in _OURS]
    return "\n".join([*parts, *(["## Shapes\n", *shapes] if shapes else [])])


def described() -> Mapping[str, Any]:
    """The description of an application that has every route. Its parts are blank: nothing is asked of them."""
    hints = typing.get_type_hints(application.app)
    found = application.app(*[blank(hints[name]) for name in inspect.signature(application.app).parameters])
    document: Mapping[str, Any] = found.openapi()
    return document


def blank(annotation: Any) -> Any:
    """Something of a type that was never made, so that its methods can be named; a function for a function."""
    for one in typing.get_args(annotation) if typing.get_origin(annotation) is not Callable else ():
        if one is not type(None):
            return blank(one)
    if not isinstance(annotation, type):
        return lambda *_: None
    if annotation.__module__ in ("builtins", "pathlib"):
        return annotation()
    made: Any = object.__new__(annotation)
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        for field in dataclasses.fields(annotation):
            object.__setattr__(made, field.name, blank(hints[field.name]))
    return made


def _route(path: str, method: str, route: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {method.upper()} {path}\n"
    said = route.get("description") or route.get("summary") or ""
    if said:
        yield f"{prose(said)}\n"
    parameters = route.get("parameters", [])
    if parameters:
        yield "| parameter | in | takes | meaning |\n| --- | --- | --- | --- |"
        for one in parameters:
            name = f"`{one['name']}`{' (required)' if one.get('required') else ''}"
            yield f"| {name} | {one['in']} | {_takes(one.get('schema', {}))} | {prose(one.get('description', ''))} |"
        yield ""
    yield "| answer | what | form |\n| --- | --- | --- |"
    for status, answer in sorted(route.get("responses", {}).items()):
        yield f"| {status} | {prose(answer.get('description', ''))} | {_content(answer.get('content', {}))} |"
    yield ""


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    lines = [f"### {name}\n"]
    if schema.get("description"):
        lines.append(f"{prose(schema['description'])}\n")
    if schema.get("enum"):
        lines.append(f"{_takes(schema)}\n")
    if schema.get("properties"):
        lines.append("| key | takes | meaning |\n| --- | --- | --- |")
        for key, one in schema["properties"].items():
            lines.append(f"| `{key}` | {_takes(one)} | {prose(one.get('description', ''))} |")
        lines.append("")
    return "\n".join(lines)


def _content(content: Mapping[str, Any]) -> str:
    return ", ".join(
        " ".join(filter(None, [f"`{kind}`", _takes(one.get("schema", {}))])) for kind, one in content.items()
    )


def _takes(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if name not in _OURS else name
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if several:
        return " or ".join(dict.fromkeys(filter(None, (_takes(one) for one in several))))
    if schema.get("type") == "array":
        return f"list of {_takes(schema.get('items', {})) or 'anything'}"
    return " ".join(filter(None, [str(schema.get("type", "")), schema.get("format", "")]))
