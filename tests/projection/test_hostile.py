"""Whatever comes in, it is read or refused by its place: nothing else is ever raised."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.errors import ProjectionError
from tests.projection.reading_samples import names, sample
from tests.projection.test_samples import READERS

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([2**70, -(2**70), "\x00", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "object", "data", "has_more", "price", "deleted"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


def places(value: object) -> list[tuple[Any, Any]]:
    """Every place inside a sample: what holds it, and its key or index."""
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inside = [(value, key) for key in value]
    elif isinstance(value, list):
        inside = [(value, index) for index in range(len(value))]
    return inside + [place for holder, key in inside for place in places(holder[key])]


@given(st.sampled_from(names()), st.data())
def test_one_wrong_value_anywhere_raises_nothing_unexpected(name: str, data: st.DataObject) -> None:
    value = sample(name)
    read = READERS[value["object"]]
    holder, key = data.draw(st.sampled_from(places(value)))
    holder[key] = data.draw(JUNK)
    with contextlib.suppress(ProjectionError):
        read(value)


@given(st.sampled_from(sorted(READERS)), JUNK)
def test_nor_does_plain_junk(kind: str, junk: object) -> None:
    with contextlib.suppress(ProjectionError):
        READERS[kind](junk)  # type: ignore[arg-type]  # that is the point
    if isinstance(junk, dict):
        with contextlib.suppress(ProjectionError):
            READERS[kind](junk | {"object": kind})
