"""JSON Schema as editors should have it: it asks for what the reader asks for, and says what a person would say."""

from __future__ import annotations

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_SIZES = {
    "array": {"minLength": "minItems", "maxLength": "maxItems"},
    "object": {"minLength": "minProperties", "maxLength": "maxProperties"},
}
"""A bound that stands behind a validator is taken for that of a text; what it is of says the type."""


class ForEditors(GenerateJsonSchema):
    """What may be left out may not be empty: the reader takes no `null`. And no titles made of Python's names."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """The whole schema."""
        made = super().generate(schema, mode)
        _name_sizes(made)
        return made

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """The value alone."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The default, where it is one that can be written."""
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A mapping, by its description."""
        made = super().model_schema(schema)
        made.pop("title", None)
        return made

    def field_title_should_be_set(self, schema: object) -> bool:
        """Never: the key itself is the title."""
        del schema
        return False


def _name_sizes(node: object) -> None:
    if isinstance(node, list):
        for item in node:
            _name_sizes(item)
    elif isinstance(node, dict):
        kind = node.get("type")
        for text, right in _SIZES.get(kind, {}).items() if isinstance(kind, str) else ():
            if text in node:
                node[right] = node.pop(text)
        for item in node.values():
            _name_sizes(item)
