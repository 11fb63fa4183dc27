"""Answers that hold what a value of ours holds, field by field."""

from typing import TypeVar

import msgspec

V = TypeVar("V", bound=msgspec.Struct)


def like(kind: type[V], of: object, **more: object) -> V:
    """A view of the kind, with the fields of the same names; `more` is what has other names, or is
    shown otherwise."""
    names = (name for name in kind.__struct_fields__ if name not in more)
    return kind(**{name: getattr(of, name) for name in names}, **more)
