"""Stripe's form encoding: `items[0][price]=price_1&metadata[order]=7&expand[]=customer`.

Source: Stripe's API reference ("form-encoded request bodies") and its Python client's encoder.
"""

from typing import TypeAlias
from urllib.parse import parse_qsl

from gatekeeper.testing.stripe.core.errors import invalid

Raw: TypeAlias = "str | dict[str, Raw]"
"""A value as sent: text, or a mapping (a list is a mapping of "0", "1", ...)."""

MAX_FIELDS = 1_000
MAX_DEPTH = 12


def parse(encoded: str) -> dict[str, Raw]:
    """The nested form of a query string or body. Bad brackets and too many fields are a 400."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise invalid(f"Invalid request: {error}") from error
    form: dict[str, Raw] = {}
    for key, value in pairs:
        _put(form, _path(key), value, key)
    return form


def _path(key: str) -> list[str]:
    head, bracket, rest = key.partition("[")
    if not bracket:
        return [head]
    if not head or not rest.endswith("]"):
        raise invalid(f"Invalid parameter name: {key}", key)
    return [head, *rest[:-1].split("][")]


def _put(form: dict[str, Raw], path: list[str], value: str, key: str) -> None:
    if len(path) > MAX_DEPTH:
        raise invalid(f"Invalid parameter nesting: {key}", key)
    here = form
    for name in path[:-1]:
        child = here.setdefault(_slot(here, name), {})
        if isinstance(child, str):
            raise invalid(f"Invalid parameter nesting: {key}", key)
        here = child
    here[_slot(here, path[-1])] = value


def _slot(here: dict[str, Raw], name: str) -> str:
    """`[]` appends: it stands for the next free index."""
    return name or str(len(here))


def indexed(value: Raw) -> list[Raw] | None:
    """The values of a mapping whose keys are the indices 0, 1, ... in order; None for another."""
    if isinstance(value, str):
        return None
    if sorted(value) != sorted(map(str, range(len(value)))):
        return None
    return [value[str(index)] for index in range(len(value))]
