"""What is wrong with settings that were given, in words: each fault by the setting's name in the
environment, with what would be right. Values are never repeated."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

ENV_PREFIX: Final = "GATEKEEPER_"
RESERVED_ENV_PREFIX: Final = "GATEKEEPER_TEST_"
"""Variables of test suites: never settings, never faults."""


def described(
    error: ValidationError, fields: Mapping[str, FieldInfo], env_names: Mapping[str, str]
) -> Iterator[str]:
    """What would be right, for each setting that pydantic refused."""
    by_env_name = {env_name: name for name, env_name in env_names.items()}
    # An alias stands in the place of the name; a fault inside a tuple has the same first part.
    found = {str(fault["loc"][0]): fault for fault in error.errors(include_url=False)}
    for place, fault in found.items():
        name = by_env_name.get(place, place)
        ours = fault.get("ctx", {}).get("error")  # the ValueError of one of our own checks
        expected = str(ours) if ours else _expectation(fields[name])
        yield f"{env_names[name]} {expected}"


def unknown_overrides(overrides: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """What was given in code and is no setting."""
    known = tuple(known)
    for name in overrides:
        if name not in known:
            yield f"{shown(name)} is no setting{_hint(name, known)}"


def unknown_variables(variables: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Typing errors: a variable that looks like ours and is not."""
    known = tuple(known)
    for name in sorted({variable.upper() for variable in variables}):
        ours = name.startswith(ENV_PREFIX) and not name.startswith(RESERVED_ENV_PREFIX)
        if ours and name not in known:
            yield f"{shown(name)} is no setting{_hint(name, known)}"


def shown(name: str) -> str:
    """A name from outside, fit for one line of a log."""
    return ascii(name[:100])[1:-1]


def _expectation(field: FieldInfo) -> str:
    """What a field's type and bounds ask for."""
    if field.annotation is bool:
        return "must be true or false"
    if field.annotation is int:
        bounds: dict[str, object] = {}
        for bound in field.metadata:  # an `annotated_types.Ge` and a `Le`
            bounds |= {side: getattr(bound, side) for side in ("ge", "le") if hasattr(bound, side)}
        return f"must be a whole number from {bounds['ge']} to {bounds['le']}"
    if get_origin(field.annotation) is Literal:
        return f"must be one of: {', '.join(get_args(field.annotation))}"
    return "must be text"


def _hint(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
