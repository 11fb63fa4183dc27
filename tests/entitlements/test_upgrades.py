"""What becomes of the default plan's running window when a paid plan takes its place."""

from typing import Any

import pytest

from gatekeeper.catalog import Catalog, OnUpgrade, Plan, Terms, Unit
from gatekeeper.entitlements import Override
from gatekeeper.types import UNLIMITED
from tests.entitlements.builders import (
    DAY,
    FEBRUARY,
    MARCH,
    PRO,
    START,
    Wallet,
    grant,
    item,
    line,
    paid_item,
    state,
    terms,
)

NOW = START + 3 * DAY
BOUGHT = paid_item(start=NOW, end=NOW + 31 * DAY)


def free(on_upgrade: OnUpgrade, **changes: Any) -> Terms:
    return terms("free", grant(5, plan="free", on_upgrade=on_upgrade, **changes))


@pytest.mark.parametrize(("fate", "left"), [("expire", 1_000), ("keep", 1_005)])
def test_what_is_left_expires_or_is_kept_at_the_first_paid_period(
    fate: OnUpgrade, left: int
) -> None:
    wallet = Wallet(free(fate))
    assert wallet.look(state(), START) == 5
    assert wallet.look(state(BOUGHT), NOW) == left
    assert wallet.look(state(BOUGHT), FEBRUARY - DAY) == left
    assert wallet.look(state(BOUGHT), FEBRUARY) == 1_000  # the end of its window, without a grace


def test_keeping_is_what_happens_where_nothing_is_said() -> None:
    credits = Unit("credits")
    catalog = Catalog([Plan("free", default=True, grants=[credits.every("month", 5)])])
    wallet = Wallet(catalog.terms("free"))
    assert wallet.look(state(), START) == 5
    assert wallet.look(state(BOUGHT), NOW) == 1_005


def test_what_a_hold_has_claimed_of_the_free_window_stays_its_own() -> None:
    wallet = Wallet(free("expire"))
    wallet.spend(state(), 2, START)
    assert wallet.look(state(BOUGHT), NOW) == 1_000
    assert wallet.account.held == 2


def test_the_free_window_does_not_come_back_and_the_next_one_does() -> None:
    wallet = Wallet(free("expire"))
    wallet.look(state(), START)
    wallet.look(state(BOUGHT), NOW)
    over = state(paid_item(start=NOW, status="canceled", ended_at=NOW + DAY))
    assert wallet.look(over, NOW + DAY) == 0
    assert wallet.look(over, FEBRUARY) == 5


def test_nothing_rolls_over_from_the_free_window_that_gave_way() -> None:
    for fate in ("expire", "keep"):
        wallet = Wallet(free(fate, rollover=UNLIMITED))
        wallet.look(state(), START)
        wallet.look(state(BOUGHT), NOW)
        wallet.look(state(BOUGHT), FEBRUARY)
        over = state(paid_item(start=NOW, status="canceled", ended_at=FEBRUARY + DAY))
        assert wallet.look(over, FEBRUARY + DAY) == 5
        assert wallet.look(over, MARCH) == 10


@pytest.mark.parametrize("status", ["incomplete", "unpaid", "canceled", "paused"])
def test_a_plan_that_was_not_paid_takes_nothing(status: str) -> None:
    wallet = Wallet(free("expire"))
    wallet.look(state(), START)
    assert wallet.look(state(item(plan=PRO, start=NOW, status=status)), NOW) == 5
    assert wallet.look(state(item(plan=PRO, start=NOW)), NOW) == 5  # active, and not yet paid
    paid_for_later = item(plan=PRO, start=NOW, lines=[line(NOW + DAY, FEBRUARY)])
    assert wallet.look(state(paid_for_later), NOW) == 5


def test_neither_does_a_trial_nor_a_gift() -> None:
    trying = terms("pro", grant(1_000, trial=50))
    wallet = Wallet(free("expire"), terms_of={"pro": PRO})
    wallet.look(state(), START)
    end = NOW + 7 * DAY
    trial = item(
        plan=trying,
        start=NOW,
        status="trialing",
        trial_end=end,
        anchor=end,
        lines=[line(NOW, end, trying, amount=0)],
    )
    assert wallet.look(state(trial), NOW) == 55
    gift = Override(kind="plan", key="pro")
    assert wallet.look(state(overrides=(gift,)), NOW) == 1_055


def test_a_plan_of_another_unit_takes_nothing() -> None:
    wallet = Wallet(free("expire"))
    wallet.look(state(), START)
    assert wallet.look(state(paid_item(plan=terms("x", grant(9, unit="exports")))), NOW) == 5
    raised = item(
        plan=PRO, start=NOW, lines=[line(NOW, FEBRUARY, terms("x", grant(9, unit="exports")))]
    )
    assert wallet.look(state(raised), NOW) == 5


def test_what_was_given_once_stays_whatever_was_bought() -> None:
    once = terms("free", grant(5, "once", plan="free", on_upgrade="expire"))
    wallet = Wallet(once)
    wallet.look(state(), START)
    assert wallet.look(state(BOUGHT), NOW) == 1_005
    assert wallet.due(state(BOUGHT), NOW).ended == frozenset()
