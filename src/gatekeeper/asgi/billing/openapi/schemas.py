"""JSON Schemas (2020-12) of the structs that operations take and answer.

A struct's docstring is its description; the lines under `Attributes:` describe its fields.
"""

import inspect
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*)$")


class Schemas:
    """The schemas of some types, as components."""

    def __init__(self, types: Iterable[Any]) -> None:
        self._types = list(dict.fromkeys(types))
        schemas, components = msgspec.json.schema_components(
            self._types, ref_template="#/components/schemas/{name}"
        )
        self._schemas: dict[Any, dict[str, Any]] = {
            type_: dict(schema) for type_, schema in zip(self._types, schemas, strict=True)
        }
        self.components: dict[str, Any] = {
            name: _described(schema) for name, schema in components.items()
        }

    def of(self, type_: Any) -> dict[str, Any]:
        """The schema of a type: a reference, for structs."""
        return self._schemas[type_]

    def whole(self, type_: Any) -> dict[str, Any]:
        """The schema that a reference leads to."""
        schema = self._schemas[type_]
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.components[name] if name else schema


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """A struct's schema, with what its docstring says of the fields put where they are."""
    text = inspect.cleandoc(schema.get("description", ""))
    head, _, attributes = text.partition("\nAttributes:\n")
    described = {**schema, "description": " ".join(head.split())} if head else dict(schema)
    properties = {name: dict(one) for name, one in schema.get("properties", {}).items()}
    for names, words in _attributes(attributes):
        for name in names:
            if name in properties:
                properties[name]["description"] = words
    if properties:
        described["properties"] = properties
    return described


def _attributes(text: str) -> list[tuple[list[str], str]]:
    """What a docstring says of its attributes: names, and words."""
    found: list[tuple[list[str], str]] = []
    for line in text.splitlines():
        begun = _ATTRIBUTE.match(line)
        if begun is not None:
            found.append((begun.group(1).split(", "), begun.group(2)))
        elif found and line.strip():
            names, words = found[-1]
            found[-1] = (names, f"{words} {line.strip()}")
    return found
