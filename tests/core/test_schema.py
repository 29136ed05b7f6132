"""The JSON Schemas that editors complete from: each field described and shown, and judged as the reader judges."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from reconciler.core.declare import json_schema, read
from reconciler.core.policyfile import policy_json_schema, read_policy
from reconciler.core.yamltree import Problem

ROOT = Path(__file__).parents[2]
Document = dict[str, Any]
At = tuple[str | int, ...]
Reader = Callable[[Document], tuple[Problem, ...]]

SCHEMAS: dict[str, Document] = {"environment": json_schema(), "policy": policy_json_schema()}
READERS: dict[str, Reader] = {
    "environment": lambda document: read("x.yaml", json.dumps(document).encode()).problems,
    "policy": lambda document: read_policy("x.yaml", json.dumps(document).encode()).problems,
}
WAYS = {"reload": "systemd"}
"""Fields that are for another way than the first of those that there are."""
BESIDE = {"config": ("activate",), "secrets": ("activate",)}


def resolved(schema: Document, node: Document) -> Document:
    """What a place of a schema says, with what it refers to; of several forms, the mapping."""
    node = next(iter(node.get("anyOf", ())), node)
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node


def fields(schema: Document, node: Document, at: At = ()) -> Iterator[tuple[At, Document, Document]]:
    """Every field: where it stands, what the schema says of it, and of the mapping around it."""
    node = resolved(schema, node)
    for key, field in node.get("properties", {}).items():
        yield (*at, key), field, node
        inner = resolved(schema, field)
        yield from fields(schema, inner, (*at, key))
        yield from fields(schema, inner.get("items", {}), (*at, key, 0))
        names = inner.get("additionalProperties")
        yield from fields(schema, names if isinstance(names, dict) else {}, (*at, key, "NAME"))


def around(node: Document, key: str) -> Document:
    """What must stand beside a field, made of the others' examples."""
    ways: list[list[str]] = [way["required"] for way in node.get("oneOf", ())]
    chosen = [way for way in ways if key in way] or [way for way in ways if WAYS.get(key) in way] or ways
    names = [*node.get("required", ()), *(chosen[0] if chosen else ()), *BESIDE.get(key, ())]
    return {name: node["properties"][name]["examples"][0] for name in names}


def whole(schema: Document, at: At, example: object) -> Document:
    """A document that is as small as it can be, and holds the example at its place."""
    fields_at = {place: node for place, _, node in fields(schema, schema)}
    value = example
    for n in range(len(at), 0, -1):
        key = at[n - 1]
        if key == 0:
            value = [value]
        elif at[:n] in fields_at:
            value = {**around(fields_at[at[:n]], str(key)), str(key): value}
        else:
            value = {str(key): value}
    assert isinstance(value, dict)
    return copy.deepcopy(value)


EXAMPLES = [
    pytest.param(kind, at, example, id=f"{kind} {'.'.join(map(str, at))} {n}")
    for kind, schema in SCHEMAS.items()
    for at, field, _ in fields(schema, schema)
    for n, example in enumerate(field.get("examples", ()))
]


def faults(kind: str, document: object) -> list[str]:
    """What the schema has against a document, as an editor would say it."""
    return [error.message for error in Draft202012Validator(SCHEMAS[kind]).iter_errors(document)]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_is_one_and_describes_and_shows_every_field(kind: str) -> None:
    schema = SCHEMAS[kind]
    Draft202012Validator.check_schema(schema)
    found = list(fields(schema, schema))
    assert len(found) > 10
    assert [at for at, field, _ in found if not field.get("description")] == []
    assert [at for at, field, _ in found if not field.get("examples")] == []
    assert [name for name, node in schema["$defs"].items() if not node.get("description")] == []


@pytest.mark.parametrize(("kind", "at", "example"), EXAMPLES)
def test_each_example_is_taken_by_the_schema_and_by_the_reader(kind: str, at: At, example: object) -> None:
    document = whole(SCHEMAS[kind], at, example)
    assert faults(kind, document) == []
    assert READERS[kind](document) == ()


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(("approval", "from"), None, id="an empty value"),
        pytest.param(("artifact", "source"), None, id="an empty name"),
        pytest.param(("artefact",), {}, id="an unknown key"),
        pytest.param(("artifact", "run_id"), "101", id="a run in quotes"),
        pytest.param(("artifact", "sha256"), "abc", id="a short digest"),
        pytest.param(("activate",), {"command": ["x"], "systemd": "x.service"}, id="two ways at once"),
        pytest.param(("health",), {"every": "1s"}, id="no way at all"),
        pytest.param(("activate",), {"command": ["x"] * 65}, id="more arguments than may be"),
        pytest.param(("config",), {f"N{n}": "" for n in range(201)}, id="more names than may be"),
        pytest.param(("config",), {"a-b": "1"}, id="a name that is none"),
    ],
)
def test_what_the_reader_refuses_is_marked_in_an_editor(at: At, value: object) -> None:
    schema = SCHEMAS["environment"]
    known = any(place == at for place, _, _ in fields(schema, schema))
    document = whole(schema, at, value) if known else {**whole(schema, ("version",), 1), str(at[0]): value}
    assert READERS["environment"](document) != ()
    assert faults("environment", document) != []


class _Texts(yaml.SafeLoader):
    """Reads dates as the texts that they are for the reader, and for editors."""


_Texts.yaml_implicit_resolvers = {
    first: [found for found in resolvers if found[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _documents() -> Iterator[tuple[str, str]]:
    """Environment files and policies: those of this repository, and those in the documentation."""
    for file in sorted((ROOT / "environments").rglob("*.yaml")):
        yield file.name, file.read_text()
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        for n, text in enumerate(re.findall(r"^```yaml[^\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)):
            if re.search(r"^version: 1$", text, re.MULTILINE) and "…" not in text:
                yield f"{page.name} {n}", text


DOCUMENTS = dict(_documents())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_file_in_the_documentation_is_valid_for_the_schema_too(name: str) -> None:
    text = DOCUMENTS[name]
    kind = "environment" if re.search(r"^artifact:", text, re.MULTILINE) else "policy"
    reader = read if kind == "environment" else read_policy
    assert reader("x.yaml", text.encode()).problems == ()
    assert faults(kind, yaml.load(text, _Texts)) == []
