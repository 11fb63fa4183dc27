"""Lists: cursors, limits and the filters that every list has.

Source: Stripe's API reference, "Pagination" (newest first, 1 to 100 a page, 10 by default).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gatekeeper.testing.stripe.core.errors import invalid, missing
from gatekeeper.testing.stripe.core.params import Fields, Integer, Kind, Span, Text
from gatekeeper.testing.stripe.core.store import Obj

_CURSORS: dict[str, Kind] = {
    "limit": Integer(1, 100),
    "starting_after": Text(),
    "ending_before": Text(),
}

DEFAULT_LIMIT = 10


def list_params(**filters: Kind) -> Fields:
    """The parameters of a list operation that can be narrowed to a span of `created`."""
    return Fields({**_CURSORS, "created": Span(), **filters})


def plain_list_params(**filters: Kind) -> Fields:
    """The parameters of one that cannot."""
    return Fields({**_CURSORS, **filters})


def page(url: str, objects: Sequence[Obj], params: Mapping[str, Any]) -> Obj:
    """One page of `objects` (newest first) as Stripe's `list` object."""
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise invalid("You may only specify one of these parameters: starting_after, ending_before")
    limit = params.get("limit") or DEFAULT_LIMIT
    rows = [obj for obj in objects if within(obj.get("created", 0), params)]
    if before:
        rows = rows[: _place(objects, rows, before, "ending_before")]
        chosen, more = rows[-limit:], len(rows) > limit
    else:
        if after:
            rows = rows[_place(objects, rows, after, "starting_after") + 1 :]
        chosen, more = rows[:limit], len(rows) > limit
    return whole(url, chosen, more=more)


def whole(url: str, objects: Sequence[Obj], more: bool = False) -> Obj:
    """A `list` object of just these."""
    return {"object": "list", "data": list(objects), "has_more": more, "url": url}


def within(second: int, params: Mapping[str, Any], name: str = "created") -> bool:
    """Whether a moment lies in the span of the parameter `name`, if one was given."""
    span: Mapping[str, int | None] = params.get(name) or {}
    least, above = span.get("gte"), span.get("gt")
    most, below = span.get("lte"), span.get("lt")
    return (
        (least is None or second >= least)
        and (above is None or second > above)
        and (most is None or second <= most)
        and (below is None or second < below)
    )


def _place(objects: Sequence[Obj], rows: Sequence[Obj], cursor: str, param: str) -> int:
    for index, obj in enumerate(rows):
        if obj["id"] == cursor:
            return index
    # A cursor that the filter removed (it changed since): continue from where it stood.
    order = {obj["id"]: index for index, obj in enumerate(objects)}
    if cursor not in order:
        raise missing(objects[0]["object"] if objects else "object", cursor, param)
    kept = [index for index, obj in enumerate(rows) if order[obj["id"]] < order[cursor]]
    return kept[-1] if kept else -1
