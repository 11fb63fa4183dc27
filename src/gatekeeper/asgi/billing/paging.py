"""Lists in pages: a cursor says after which row to go on.

A cursor is opaque to clients. It holds a place in an order and no permission: every page is looked
up with its owner again.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from gatekeeper.asgi.billing.values import Id, Instant, instant
from gatekeeper.errors import InvalidInputError

T = TypeVar("T")
P = TypeVar("P")

MAX_PAGE = 100
"""The most that one page holds."""

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, Meta(min_length=1, max_length=1_000, pattern="^[A-Za-z0-9_-]+$")]


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which page of a list.

    Attributes:
        limit: how many at most.
        cursor: `next_cursor` of the page before.
    """

    limit: Limit = 20
    cursor: Cursor | None = None


class Place(NamedTuple):
    """Where most rows stand in their lists: by when they were made, and their id."""

    at: Instant
    id: Id


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a list.

    Attributes:
        next_cursor: for the page after this one; null on the last.
    """

    data: list[T]
    next_cursor: str | None = None


def paged(
    rows: Sequence[P], query: PageQuery, shown: Callable[[P], T], place: Callable[[P], Any]
) -> Page[T]:
    """The page of `rows`, which were read with one more than `query.limit`.

    Args:
        shown: a row as it is answered.
        place: where a row stands: what `place_of` gives back for the page after it.
    """
    kept = rows[: query.limit]
    more = len(rows) > query.limit
    return Page(
        data=[shown(row) for row in kept], next_cursor=cursor_of(place(kept[-1])) if more else None
    )


def paged_of_all(
    rows: Sequence[P], query: PageQuery, shown: Callable[[P], T], name: Callable[[P], str]
) -> Page[T]:
    """The page of `rows`, which are all that there are. A row that has gone since the page before
    makes none come twice.

    Args:
        name: the id of a row.
    """
    place = place_of(query.cursor, tuple[int, str])
    first = 0
    if place is not None:
        count, last = place
        names = [name(row) for row in rows]
        first = names.index(last) + 1 if last in names else max(count - 1, 0)
    numbers = {name(row): number for number, row in enumerate(rows, start=1)}
    return paged(
        rows[first : first + query.limit + 1],
        query,
        shown,
        lambda row: (numbers[name(row)], name(row)),
    )


def cursor_of(place: Any) -> str:
    """A place as a cursor."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str | None, type_: type[P]) -> P | None:
    """The place that a cursor of ours names; None if there is none.

    Raises:
        InvalidInputError: it is not one of ours.
    """
    if cursor is None:
        return None
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * 3), type=type_)
        for part in _parts(place):
            if isinstance(part, datetime):
                instant(part, "cursor")
        return place
    except (ValueError, msgspec.DecodeError, binascii.Error, RecursionError):
        raise InvalidInputError("The cursor is not one that a list has returned.") from None


def after_of(cursor: str | None) -> Place | None:
    """The place that a cursor of most lists names, its instant in UTC; None if there is none.

    Raises:
        InvalidInputError: it is not one of ours.
    """
    place = place_of(cursor, Place)
    return None if place is None else Place(instant(place.at, "cursor"), place.id)


def _parts(place: Any) -> tuple[Any, ...]:
    if isinstance(place, msgspec.Struct):
        return msgspec.structs.astuple(place)
    return place if isinstance(place, tuple) else (place,)
