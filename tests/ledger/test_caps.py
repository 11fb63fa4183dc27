"""Caps: how much may be used in each window, for the account and for its parts."""

from datetime import UTC, datetime, timedelta

import pytest

from gatekeeper.errors import (
    CreditsRequiredError,
    InvalidAmountError,
    InvalidIdError,
    UnknownNameError,
)
from gatekeeper.ledger import (
    Cap,
    CapTarget,
    Capture,
    Expire,
    Extend,
    Release,
    SetCap,
    Target,
    check_scope,
    governs,
    paths_of,
    running,
)
from gatekeeper.types import MAX_AMOUNT
from tests.ledger.builders import DAY, HOUR, START, Book


@pytest.fixture
def book() -> Book:
    """Plenty of credits; it is a Saturday, the 31st of January, midnight."""
    book = Book()
    book.grant(10_000)
    return book


# -- one cap --------------------------------------------------------------------------------------


def test_a_cap_stands_beside_the_balance(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(60)
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(41, "h2")
    assert caught.value.params == {
        "unit": "credits",
        "required": 41,
        "available": 40,
        "limited_by": "cap",
        "cap_every": "day",
        "cap_scope": "",
        "cap_limit": 100,
        "resets_at": "2026-02-01T00:00:00+00:00",
    }
    assert book.reserve(40, "h2").amount == 40


def test_the_smallest_headroom_decides_and_the_denial_says_which(book: Book) -> None:
    book.cap("day", 100)
    book.cap("month", 80)
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(90)
    assert (caught.value.params["cap_every"], caught.value.params["available"]) == ("month", 80)
    poor = Book()
    poor.grant(50)
    poor.cap("day", 60)
    with pytest.raises(CreditsRequiredError) as caught:
        poor.reserve(90)
    assert (caught.value.params["limited_by"], caught.value.params["available"]) == ("balance", 50)


def test_a_balance_goes_before_a_cap_that_has_as_much_left() -> None:
    book = Book()
    book.grant(50)
    book.cap("day", 50)
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(51)
    assert caught.value.params["limited_by"] == "balance"


def test_a_cap_limits_what_has_no_bound() -> None:
    book = Book()
    book.refresh(Target("u", "u@1", None, mints=True))
    book.cap("day", 50)
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(51)
    assert (caught.value.params["limited_by"], caught.value.params["available"]) == ("cap", 50)


def test_a_partial_hold_takes_the_smallest_headroom(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(70)
    assert book.reserve(500, "h2", partial=True).amount == 30
    with pytest.raises(CreditsRequiredError):
        book.reserve(1, "h3", partial=True)


def test_what_was_spent_stays_counted_and_what_comes_back_does_not(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(60)
    book.settle("h1", Capture(10, final=False))
    assert book.used() == 60
    book.settle("h1", Capture(15))
    assert book.used() == 25
    book.reserve(30, "h2")
    book.settle("h2", Release())
    book.reserve(30, "h3")
    book.at(HOUR).settle("h3", Expire())
    assert book.used() == 25


@pytest.mark.parametrize(
    ("every", "ends"),
    [
        ("hour", datetime(2026, 1, 31, 1, tzinfo=UTC)),
        ("day", datetime(2026, 2, 1, tzinfo=UTC)),
        ("week", datetime(2026, 2, 2, tzinfo=UTC)),
        ("month", datetime(2026, 2, 1, tzinfo=UTC)),
        ("year", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_windows_follow_the_calendar_in_utc(book: Book, every: str, ends: datetime) -> None:
    book.do(SetCap(every, 100))  # type: ignore[arg-type]  # parametrised by plain words
    assert book.account.caps[0].window_end == ends
    book.reserve(100)
    book.at(ends - START - timedelta(microseconds=1))
    with pytest.raises(CreditsRequiredError):
        book.reserve(1, "h2")
    assert book.at(ends - START).reserve(100, "h2").amount == 100


def test_a_cap_begins_anew_with_its_next_window_and_skips_those_that_went_by(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(100)
    later = running(book.account.caps[0], START + 5 * DAY)
    assert (later.used, later.reached, later.limit) == (0, False, 100)
    assert (later.window_start, later.window_end) == (START + 5 * DAY, START + 6 * DAY)
    book.at(5 * DAY).reserve(7, "h2")
    assert (book.used(), book.account.caps[0].window_start) == (7, START + 5 * DAY)


def test_a_hold_belongs_to_the_window_in_which_it_was_made(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(60, expires_at=START + 2 * DAY)
    book.at(DAY).reserve(50, "h2")
    book.settle("h1", Release())
    assert book.used() == 50  # that of yesterday is not given to today
    book.reserve(50, "h3")
    with pytest.raises(CreditsRequiredError):
        book.reserve(1, "h4")


def test_what_comes_back_after_the_window_is_over_changes_nothing(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(60, expires_at=START + 2 * DAY)
    before = book.account.caps
    book.at(DAY).settle("h1", Release())
    assert book.account.caps == before


def test_an_extension_counts_where_it_is_made(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(60, expires_at=START + 2 * DAY)
    with pytest.raises(CreditsRequiredError):
        book.settle("h1", Extend(START + 3 * DAY, add_amount=41))
    book.at(DAY).settle("h1", Extend(START + 3 * DAY, add_amount=41))
    assert book.used() == 41
    book.settle("h1", Release())
    assert book.used() == 41  # the hold is one of yesterday's


def test_case_56_overage_counts_and_may_go_beyond_a_cap(book: Book) -> None:
    book.cap("day", 100)
    book.reserve(90)
    book.settle("h1", Capture(130, "overage"))
    assert book.used() == 130
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(1, "h2")
    assert caught.value.params["available"] == 0


def test_overage_that_is_owed_counts_too() -> None:
    book = Book()
    book.grant(10)
    book.cap("day", 100)
    book.reserve(10)
    book.settle("h1", Capture(25, "overage"))
    assert (book.account.debt, book.used()) == (15, 25)


# -- parts of an account --------------------------------------------------------------------------


def test_every_part_above_must_have_room(book: Book) -> None:
    book.cap("day", 100)
    book.cap("day", 50, scope="design")
    book.cap("day", 30, scope="design/ann")
    book.reserve(30, scope="design/ann")
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(1, "h2", scope="design/ann")
    assert caught.value.params["cap_scope"] == "design/ann"
    assert "'design/ann' has a cap of 30 every day" in str(caught.value)
    book.reserve(20, "h2", scope="design/ben")  # who has no cap of his own
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(1, "h3", scope="design/ben")
    assert caught.value.params["cap_scope"] == "design"
    book.reserve(50, "h3", scope="sales")
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(1, "h4", scope="sales")
    assert caught.value.params["cap_scope"] == ""
    assert (book.used(), book.used("design"), book.used("design/ann")) == (100, 50, 30)


def test_what_a_part_gives_back_comes_off_every_part_above(book: Book) -> None:
    book.cap("day", 100)
    book.cap("day", 50, scope="design")
    book.reserve(30, scope="design/ann")
    change = book.settle("h1", Capture(10))
    assert (book.used(), book.used("design")) == (10, 10)
    assert [cap.scope for cap in change.caps] == ["design"]  # the account's own is inside it


def test_a_refusal_counts_nowhere(book: Book) -> None:
    book.cap("day", 100)
    book.cap("day", 10, scope="design")
    with pytest.raises(CreditsRequiredError):
        book.reserve(11, scope="design")
    assert (book.used(), book.used("design")) == (0, 0)


def test_caps_of_other_parts_are_left_alone(book: Book) -> None:
    """A store may hand in more caps than those above the scope."""
    book.cap("day", 10, scope="design")
    book.cap("day", 10, scope="designers")
    assert book.reserve(20, scope="sales/design").amount == 20
    assert book.last.caps == ()


@pytest.mark.parametrize(
    ("cap", "scope", "counts"),
    [
        ("", "", True),
        ("", "design/ann", True),
        ("design", "design", True),
        ("design", "design/ann", True),
        ("design", "", False),
        ("design", "designers", False),
        ("design/ann", "design", False),
        ("design", "sales/design", False),
    ],
)
def test_a_cap_governs_its_own_part_and_what_is_in_it(cap: str, scope: str, counts: bool) -> None:
    assert governs(Cap("day", 1, START, START + DAY, scope=cap), scope) is counts
    assert (cap in ("", *paths_of(scope))) is counts


def test_the_paths_of_a_part() -> None:
    assert paths_of("") == ()
    assert paths_of("design/ann/night") == ("design", "design/ann", "design/ann/night")


@pytest.mark.parametrize("scope", ["/", "a/", "/a", "a//b", "a/ b", " a", "a\n", "x" * 256])
def test_a_scope_is_a_path_of_ids(book: Book, scope: str) -> None:
    with pytest.raises(InvalidIdError):
        check_scope(scope)
    with pytest.raises(InvalidIdError):
        book.do(SetCap("day", 5, scope))
    with pytest.raises(InvalidIdError):
        book.reserve(1, scope=scope)


# -- setting caps ---------------------------------------------------------------------------------


def test_a_cap_goes_on_counting_when_its_limit_is_changed(book: Book) -> None:
    book.cap("day", 100)
    book.cap("day", 100, scope="design")
    book.reserve(60, scope="design")
    book.cap("day", 80, used=5)
    book.cap("day", 70, scope="design")
    assert (book.used(), book.used("design")) == (60, 60)
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(11, "h2", scope="design")
    assert caught.value.params["available"] == 10


def test_a_new_cap_takes_what_was_used_before_from_the_host(book: Book) -> None:
    book.cap("day", 100, used=90)
    with pytest.raises(CreditsRequiredError):
        book.reserve(11)


def test_without_a_limit_a_cap_refuses_nothing(book: Book) -> None:
    book.cap("day", 10)
    book.cap("day", 10, scope="design")
    book.cap("day", None)
    book.cap("day", None, scope="design")
    assert book.account.caps == ()
    book.reserve(50, scope="design")
    assert book.used("design") == 50  # it counts on
    book.cap("day", 60, scope="design")
    with pytest.raises(CreditsRequiredError):
        book.reserve(11, "h2", scope="design")


def test_setting_a_cap_to_what_it_is_changes_nothing(book: Book) -> None:
    book.cap("day", 10)
    before = book.account
    assert book.cap("day", 10).account is before
    assert book.cap("hour", None).account is before


def test_what_comes_back_never_takes_a_cap_below_nothing(book: Book) -> None:
    book.reserve(60)
    book.cap("day", 100, used=20)
    book.settle("h1", Release())
    assert book.used() == 0


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (SetCap("day", -1), InvalidAmountError),
        (SetCap("day", MAX_AMOUNT + 1), InvalidAmountError),
        (SetCap("day", 1, used=-1), InvalidAmountError),
        (SetCap("fortnight", 1), UnknownNameError),  # type: ignore[arg-type]  # what is refused
    ],
)
def test_a_cap_that_can_not_be_is_refused(
    book: Book, command: SetCap, error: type[Exception]
) -> None:
    with pytest.raises(error):
        book.do(command)


# -- the plans' caps ------------------------------------------------------------------------------


def test_a_plans_cap_and_the_hosts_must_both_have_room(book: Book) -> None:
    book.refresh(caps=(CapTarget("day", 100),))
    book.cap("day", 40)
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(41)
    assert caught.value.params["cap_limit"] == 40
    book.cap("day", 200)
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(101)
    assert caught.value.params["cap_limit"] == 100


def test_a_change_of_plan_keeps_what_is_used(book: Book) -> None:
    book.refresh(caps=(CapTarget("day", 100),))
    book.reserve(90)
    book.refresh(caps=(CapTarget("day", 50), CapTarget("month", 900)))
    with pytest.raises(CreditsRequiredError) as caught:
        book.reserve(1, "h2")
    assert caught.value.params["available"] == 0
    book.refresh(caps=(CapTarget("day", 120), CapTarget("month", 900)))
    book.reserve(30, "h2")


def test_going_back_and_forth_between_plans_begins_nothing_anew(book: Book) -> None:
    book.refresh(caps=(CapTarget("day", 100),))
    book.reserve(60)
    book.refresh()
    book.reserve(30, "h2")
    book.refresh(caps=(CapTarget("day", 100),))
    assert book.used(source="plan") == 90
    book.refresh()
    book.at(DAY).refresh()
    assert book.account.caps == ()  # the window in which it counted is over


def test_a_plans_cap_counts_from_when_it_is_in_force(book: Book) -> None:
    """What was held before is not counted, so that it does not come off when it comes back."""
    book.reserve(60, expires_at=START + 5 * HOUR)
    book.at(HOUR).refresh(caps=(CapTarget("day", 100),))
    book.reserve(70, "h2")
    book.settle("h1", Release())
    assert book.used(source="plan") == 70
    cap = book.account.caps[0]
    assert (cap.window_start, cap.window_end) == (START + HOUR, START + DAY)


def test_the_hosts_caps_are_not_touched_by_a_refresh(book: Book) -> None:
    book.cap("day", 100)
    before = book.account
    assert book.at(HOUR).refresh().account is before
    assert book.refresh(caps=(CapTarget("day", 70),)).account.caps[0] == before.caps[0]


def test_a_cap_in_force_is_refreshed_once(book: Book) -> None:
    book.refresh(caps=(CapTarget("day", 100),))
    before = book.account
    assert book.at(3 * DAY).refresh(caps=(CapTarget("day", 100),)).account is before
