"""What only seeded faults (`tests/faults`) have shown to be untested in the engine."""

from datetime import timedelta

import pytest

from gatekeeper.errors import CreditsRequiredError
from gatekeeper.ledger import Extend, Release, Target
from tests.ledger.builders import DAY, HOUR, START, Book


def window(key: str, start: timedelta) -> Target:
    """A window of 100 for 31 days that hands on all that it has left."""
    begins = START + start
    ends = begins + 31 * DAY
    return Target(
        series="s",
        key=key,
        amount=100,
        window_start=begins,
        window_end=ends,
        expires_at=ends + DAY,
        rollover=None,
    )


def test_an_extension_must_have_room_in_the_caps_of_its_holds_own_part() -> None:
    book = Book()
    book.grant(1_000)
    book.cap("day", 50, scope="design")
    book.reserve(30, scope="design/ann")
    with pytest.raises(CreditsRequiredError) as caught:
        book.settle("h1", Extend(START + HOUR, add_amount=21))
    assert (caught.value.params["cap_scope"], caught.value.params["available"]) == ("design", 20)
    book.settle("h1", Extend(START + HOUR, add_amount=20))
    assert book.used("design") == 50
    book.settle("h1", Release())
    assert book.used("design") == 0


def test_what_a_window_had_left_is_handed_on_once_however_its_anchor_moves() -> None:
    """Nobody paid in time; then come two windows that both begin within the one that is over."""
    book = Book()
    book.refresh(window("s@0", timedelta(0)))
    book.at(33 * DAY).refresh()
    assert book.account.posted == 0
    book.refresh(window("s@1", 20 * DAY), window("s@2", 25 * DAY))
    assert book.account.posted == 300
