"""Objects of Stripe's in the shapes of its API versions, made up from its documentation."""

import json
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"
Json = dict[str, Any]


def sample(name: str) -> Json:
    """A fresh copy of `<type>.<API version>.json`."""
    found: Json = json.loads((SAMPLES / f"{name}.json").read_text())
    return found


def names() -> list[str]:
    """Every sample, without its ending."""
    return sorted(path.stem for path in SAMPLES.glob("*.json"))


def without(value: Json, *keys: str) -> Json:
    return {key: value for key, value in value.items() if key not in keys}
