"""Thresholds: told once for each crossing, and again only after the reason was gone."""

from datetime import timedelta

from msgspec.structs import replace

from gatekeeper.ledger import (
    CapTarget,
    Capture,
    Clawback,
    Release,
    Revoke,
    Signal,
    Target,
    UnitPolicy,
    notices,
    watched,
)
from gatekeeper.ledger.signals import MAX_ALERTS
from tests.ledger.builders import DAY, EMPTY, HOUR, START, Book

LOW = UnitPolicy(low=50)
NOTICE = UnitPolicy(expiry_notice=3 * DAY)


def spend(book: Book, amount: int, hold_id: str) -> list[str]:
    """Spend; the kinds of what is told of it."""
    before = len(book.signals)
    book.reserve(amount, hold_id)
    book.settle(hold_id, Capture())
    return [signal.kind for signal in book.signals[before:]]


# -- what is left ---------------------------------------------------------------------------------


def test_a_low_balance_is_told_once_until_it_is_above_the_threshold_again() -> None:
    book = Book(policy=LOW)
    book.grant(100)
    assert spend(book, 49, "h1") == []
    assert spend(book, 1, "h2") == ["credits.low"]
    assert book.signals[-1] == Signal(
        kind="credits.low", customer="ada", unit="credits", left=50, threshold=50
    )
    assert spend(book, 1, "h3") == []
    book.grant(1, "g2")
    assert spend(book, 1, "h4") == []  # 49 again: it was never above
    book.grant(2, "g3")
    assert spend(book, 1, "h5") == ["credits.low"]


def test_an_exhausted_balance_is_told_whatever_is_declared() -> None:
    book = Book()
    book.grant(10)
    assert spend(book, 9, "h1") == []
    assert spend(book, 1, "h2") == ["credits.exhausted"]
    assert (book.signals[-1].left, book.signals[-1].threshold) == (0, 0)
    book.grant(5, "g2")
    assert spend(book, 5, "h3") == ["credits.exhausted"]


def test_both_thresholds_may_be_crossed_at_once() -> None:
    book = Book(policy=LOW)
    book.grant(100)
    assert spend(book, 100, "h1") == ["credits.low", "credits.exhausted"]


def test_a_hold_that_comes_back_crosses_nothing() -> None:
    book = Book(policy=LOW)
    book.grant(60)
    for number in range(3):
        book.reserve(60, f"h{number}")
        book.settle(f"h{number}", Release())
    assert book.signals == []


def test_an_account_that_never_had_anything_has_not_run_out() -> None:
    book = Book(policy=LOW)
    book.refresh(Target("once", "once", 0))
    book.do(Clawback(5))
    assert book.signals == []
    book.grant(20)  # which is below the threshold from the start
    assert book.signals == []
    assert spend(book, 1, "h1") == ["credits.low"]


def test_what_is_clawed_back_or_revoked_or_lapses_crosses_thresholds_too() -> None:
    book = Book(policy=LOW)
    book.grant(60)
    book.do(Clawback(10))
    assert [signal.kind for signal in book.signals] == ["credits.low"]
    book.do(Revoke("g1"))
    assert [signal.kind for signal in book.signals][1:] == ["credits.exhausted"]
    book.grant(60, "g2", expires_at=START + HOUR)
    book.at(HOUR).refresh()
    assert [signal.kind for signal in book.signals][2:] == ["credits.low", "credits.exhausted"]


def test_a_renewal_that_gives_as_much_as_it_ends_crosses_nothing() -> None:
    first = Target(
        "s", "s@0", 60, window_start=START, window_end=START + DAY, expires_at=START + DAY + HOUR
    )
    second = replace(
        first,
        key="s@1",
        window_start=START + DAY,
        window_end=START + 2 * DAY,
        expires_at=START + 2 * DAY + HOUR,
    )
    book = Book(policy=LOW)
    book.refresh(first)
    book.at(DAY).refresh(second)
    assert book.signals == []


def test_a_threshold_that_is_raised_is_told_with_the_next_use() -> None:
    book = Book()
    book.grant(40)
    spend(book, 1, "h1")
    book.policy = LOW
    assert spend(book, 1, "h2") == ["credits.low"]
    book.policy = UnitPolicy()
    spend(book, 1, "h3")
    assert book.account.alerts == ()


def test_what_overage_makes_is_not_what_is_left() -> None:
    book = Book()
    book.grant(5)
    book.refresh(Target("o", "o@1", None, mints=True, meter="overage"))
    assert spend(book, 8, "h1") == ["credits.exhausted"]
    assert spend(book, 8, "h2") == []


def test_an_account_without_bound_never_runs_out() -> None:
    book = Book(policy=LOW)
    book.grant(5)
    book.refresh(Target("u", "u@1", None, mints=True))
    assert spend(book, 80, "h1") == []


# -- caps -----------------------------------------------------------------------------------------


def test_a_cap_that_is_used_up_is_told_once_in_its_window() -> None:
    book = Book()
    book.grant(1_000)
    book.refresh(caps=(CapTarget("day", 100),))
    book.cap("day", 80, scope="design")
    book.reserve(99)
    assert book.signals == []
    book.reserve(1, "h2")
    assert book.signals == [
        Signal(
            kind="cap.reached",
            customer="ada",
            unit="credits",
            left=1_000,
            threshold=100,
            scope="",
            every="day",
        )
    ]
    book.settle("h2", Release())
    book.reserve(1, "h3")
    assert len(book.signals) == 1
    book.at(DAY).reserve(100, "h4", scope="design", partial=True)
    assert [(s.scope, s.threshold) for s in book.signals[1:]] == [("design", 80)]
    book.reserve(20, "h5")
    assert [(s.scope, s.threshold) for s in book.signals[2:]] == [("", 100)]


def test_a_cap_is_told_again_when_its_limit_was_changed() -> None:
    book = Book()
    book.grant(1_000)
    book.cap("day", 10)
    book.reserve(10)
    book.cap("day", 20)
    book.reserve(10, "h2")
    book.cap("day", 5)
    assert [signal.threshold for signal in book.signals] == [10, 20, 5]


def test_a_cap_of_nothing_of_which_nothing_is_used_is_not_reached() -> None:
    book = Book()
    book.cap("day", 0)
    assert book.signals == []


# -- expiry ---------------------------------------------------------------------------------------


def test_a_grant_that_is_about_to_expire_is_told_of_once() -> None:
    book = Book(policy=NOTICE)
    book.grant(9, expires_at=START + 10 * DAY)
    book.grant(7, "g2", expires_at=START + 12 * DAY)
    assert book.account.notice_due_at == START + 7 * DAY
    before = book.account
    assert book.at(7 * DAY - timedelta(microseconds=1)).notices().account is before
    change = book.at(7 * DAY).notices()
    assert change.signals == (
        Signal(
            kind="grant.expiring",
            customer="ada",
            unit="credits",
            left=16,
            grant_id="g1",
            expires_at=START + 10 * DAY,
        ),
    )
    assert change.entries == ()
    assert book.account.notice_due_at == START + 9 * DAY
    assert book.notices().signals == ()
    assert [s.grant_id for s in book.at(11 * DAY).notices().signals] == ["g2"]
    assert book.account.notice_due_at is None


def test_a_grant_that_lives_shorter_than_the_notice_is_due_at_once() -> None:
    book = Book(policy=NOTICE)
    book.grant(9, expires_at=START + HOUR)
    assert book.account.notice_due_at == START + HOUR - 3 * DAY
    assert [signal.grant_id for signal in book.notices().signals] == ["g1"]


def test_what_is_used_up_or_over_or_endless_or_yet_to_come_is_not_told_of() -> None:
    book = Book(policy=NOTICE)
    book.grant(9, "forever")
    book.grant(9, "used", expires_at=START + DAY)
    book.grant(9, "later", effective_at=START + HOUR, expires_at=START + DAY)
    book.refresh(Target("o", "o@1", 5, expires_at=START + DAY, mints=True, meter="overage"))
    spend(book, 9, "h1")
    book.reserve(12, "h2")  # which makes use of the overage
    assert book.account.notice_due_at is None
    assert book.notices().signals == ()
    book.at(HOUR).refresh()
    assert book.account.notice_due_at == START + DAY - 3 * DAY
    assert notices(book.account, START + DAY, NOTICE).signals == ()


def test_what_is_held_may_come_back_and_is_told_of() -> None:
    book = Book(policy=NOTICE)
    book.grant(9, expires_at=START + DAY)
    book.reserve(9)
    assert len(book.notices().signals) == 1


def test_an_alert_goes_with_its_grant() -> None:
    book = Book(policy=NOTICE)
    book.grant(9, expires_at=START + DAY)
    book.grant(9, "g2")
    book.notices()
    assert set(book.account.alerts) == {"expiring:g1"}
    spend(book, 9, "h1")
    assert set(book.account.alerts) == set()


def test_without_a_notice_none_is_due() -> None:
    book = Book(policy=NOTICE)
    book.grant(9, expires_at=START + DAY)
    book.policy = UnitPolicy()
    assert book.notices().signals == ()
    assert book.account.notice_due_at is None
    book.policy = NOTICE
    assert len(book.notices().signals) == 1


def test_the_alerts_of_an_account_are_bounded() -> None:
    book = Book(EMPTY, NOTICE)
    for number in range(MAX_ALERTS + 5):
        book.grant(1, f"g{number:03}", expires_at=START + DAY)
    assert len(book.notices().signals) == MAX_ALERTS
    assert (len(book.account.alerts), book.account.notice_due_at) == (MAX_ALERTS, None)
    spend(book, 3, "h1")
    assert book.account.notice_due_at is not None
    assert len(book.notices().signals) == 3
    assert len(book.account.alerts) == MAX_ALERTS


# -- automatic top-ups ----------------------------------------------------------------------------


def watching(below: int, amount: int = 100) -> Book:
    book = Book()
    book.grant(amount)
    book.account = watched(book.account, below, START).account
    return book


def test_a_top_up_is_due_once_less_can_be_spent_held_or_not() -> None:
    book = watching(50)
    book.reserve(50, "h1")
    assert book.signals == []
    book.reserve(1, "h2")
    assert book.signals == [
        Signal(kind="top_up.due", customer="ada", unit="credits", left=49, threshold=50)
    ]
    book.reserve(1, "h3")
    assert len(book.signals) == 1  # told
    book.settle("h1", Release())
    book.reserve(90, "h4")
    assert [one.left for one in book.signals] == [49, 8]


def test_nothing_is_told_of_an_account_that_is_not_watched_any_more() -> None:
    book = watching(50)
    before = book.account
    assert watched(before, 50, START).account is before
    book.account = watched(before, None, START).account
    assert (book.account.top_up_below, book.account.revision) == (None, before.revision + 1)
    assert spend(book, 100, "h1") == ["credits.exhausted"]


def test_what_is_too_little_when_it_is_set_is_not_told_but_remembered() -> None:
    book = watching(101)
    assert spend(book, 1, "h1") == []
    book.account = watched(book.account, 10, START).account
    assert spend(book, 90, "h2") == ["top_up.due"]


def test_an_account_without_bound_needs_no_top_up() -> None:
    book = Book()
    book.refresh(Target("endless", "endless", None, mints=True))
    book.account = watched(book.account, 50, START).account
    assert spend(book, 500, "h1") == []
