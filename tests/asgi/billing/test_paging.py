"""Lists in pages."""

import pytest

from gatekeeper.asgi.billing.paging import (
    PageQuery,
    cursor_of,
    paged,
    paged_of_all,
    place_of,
)
from gatekeeper.errors import InvalidInputError


def test_a_cursor_leads_to_the_row_after_the_last() -> None:
    rows = list(range(10))
    query = PageQuery(limit=4)
    seen: list[str] = []
    while True:
        after = place_of(query.cursor, int)
        start = 0 if after is None else after + 1
        page = paged(rows[start : start + query.limit + 1], query, str, lambda row: row)
        seen += page.data
        if page.next_cursor is None:
            break
        query = PageQuery(limit=4, cursor=page.next_cursor)
    assert seen == [str(row) for row in rows]


def test_a_page_that_is_just_full_is_the_last() -> None:
    assert paged([1, 2], PageQuery(limit=2), str, lambda row: row).next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "eA", "e30", cursor_of("a"), cursor_of([1, 2]), "_" * 900])
def test_a_cursor_of_somebody_s_own_making_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInputError, match="cursor"):
        place_of(cursor, int)


@pytest.mark.parametrize("gone", ["", "a", "b"])
def test_a_row_that_has_gone_since_makes_none_come_twice(gone: str) -> None:
    def page(rows: str, query: PageQuery) -> tuple[str, str | None]:
        found = paged_of_all(rows, query, str, str)
        return "".join(found.data), found.next_cursor

    first, cursor = page("abcde", PageQuery(limit=2))
    rest, end = page("abcde".replace(gone, ""), PageQuery(limit=9, cursor=cursor))
    assert (first, rest, end) == ("ab", "cde", None)
