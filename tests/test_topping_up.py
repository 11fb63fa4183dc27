"""When a top-up is bought: every state with everything that can happen to it, and long stories."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from gatekeeper.topping_up import (
    AUTHENTICATION,
    BREAKERS,
    HARD,
    LEASE,
    LOOK_AGAIN,
    WAITS,
    BlockReason,
    Seen,
    TopUp,
    TopUpState,
    Wish,
    agreed,
    card_changed,
    decided,
    declined,
    given_up,
    in_month,
    is_broken,
    month_of,
    noticed,
    paid,
    paid_otherwise,
    turned_off,
    waiting,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WISH = Wish(
    threshold=50, pack="p", price="p_eur", amount_minor=500, currency="eur", cap_minor=1_000
)
ON = agreed(None, "ada", "credits", WISH, NOW)
LOW = Seen(available=10, amount_minor=500, card="pm_1", card_mark="one")
PAYING = decided(ON, LOW, "pur_1", NOW)


def test_what_is_turned_on_waits_for_its_threshold() -> None:
    assert (ON.state, ON.is_on, ON.due_at) == (TopUpState.IDLE, True, NOW + LOOK_AGAIN)
    assert noticed(ON, 50, NOW) is ON
    assert noticed(ON, None, NOW) is ON  # without bound
    due = noticed(ON, 49, NOW)
    assert (due.state, due.due_at) == (TopUpState.DUE, NOW)
    assert noticed(due, 49, NOW) is due


def test_a_payment_is_begun_with_all_that_it_needs() -> None:
    assert PAYING.state is TopUpState.PAYING
    assert (PAYING.purchase_id, PAYING.card, PAYING.card_mark) == ("pur_1", "pm_1", "one")
    assert (PAYING.spent_minor, PAYING.paying_minor) == (500, 500)
    assert (PAYING.begun_at, PAYING.due_at) == (NOW, NOW + LEASE)


def test_what_is_paid_waits_again_and_is_looked_at_once_more() -> None:
    done = paid(PAYING, "pur_1", 500, NOW)
    assert (done.state, done.spent_minor, done.paying_minor) == (TopUpState.IDLE, 500, 0)
    assert done.due_at == NOW
    assert decided(done, replace(LOW, available=60), "pur_2", NOW).due_at == NOW + LOOK_AGAIN
    assert decided(done, LOW, "pur_2", NOW).purchase_id == "pur_2"  # one pack was not enough


@pytest.mark.parametrize(
    ("seen", "reason", "again"),
    [
        (replace(LOW, frozen=True), BlockReason.FROZEN, NOW + LOOK_AGAIN),
        (replace(LOW, debt=1), BlockReason.DEBT, NOW + LOOK_AGAIN),
        (replace(LOW, amount_minor=None), BlockReason.NOT_SOLD, NOW + LOOK_AGAIN),
        (replace(LOW, amount_minor=501), BlockReason.NOT_SOLD, NOW + LOOK_AGAIN),
        (replace(LOW, card=None, card_mark=None), BlockReason.NO_CARD, None),
    ],
)
def test_what_stands_in_the_way(seen: Seen, reason: BlockReason, again: datetime | None) -> None:
    blocked = decided(ON, seen, "pur_1", NOW)
    assert (blocked.state, blocked.reason, blocked.due_at) == (TopUpState.BLOCKED, reason, again)
    assert blocked.spent_minor == 0
    later = decided(blocked, LOW, "pur_2", NOW + LOOK_AGAIN)
    assert later.state is TopUpState.PAYING  # once it is out of the way


def test_the_month_s_cap_ends_with_the_month() -> None:
    top_up = ON
    for number in range(2):
        top_up = paid(decided(top_up, LOW, f"pur_{number}", NOW), f"pur_{number}", 500, NOW)
    blocked = decided(top_up, LOW, "pur_9", NOW)
    assert (blocked.reason, blocked.spent_minor) == (BlockReason.MONTHLY_CAP, 1_000)
    december = datetime(2026, 12, 1, tzinfo=UTC)
    assert blocked.due_at == december == month_of(NOW)[1]
    assert in_month(blocked, december - timedelta(seconds=1)).spent_minor == 1_000
    assert in_month(blocked, december).spent_minor == 0
    assert decided(blocked, LOW, "pur_9", december).spent_minor == 500
    richer = agreed(blocked, "ada", "credits", replace(WISH, cap_minor=1_500), NOW)
    assert decided(richer, LOW, "pur_9", NOW).spent_minor == 1_500


@pytest.mark.parametrize("code", sorted(HARD))
def test_a_hard_decline_blocks_at_once(code: str) -> None:
    blocked = declined(PAYING, "pur_1", code, NOW, final=False)
    expected = BlockReason.DECLINED
    if code in AUTHENTICATION:
        expected = BlockReason.AUTHENTICATION_REQUIRED
    assert (blocked.reason, blocked.error, blocked.due_at) == (expected, code, None)
    assert (blocked.spent_minor, blocked.paying_minor) == (0, 0)


def test_soft_declines_are_tried_again_and_block_in_the_end() -> None:
    top_up = ON
    for number, wait in enumerate((*WAITS, None)):
        top_up = decided(top_up, LOW, f"pur_{number}", NOW)
        top_up = declined(top_up, f"pur_{number}", "insufficient_funds", NOW, final=False)
        assert top_up.due_at == (None if wait is None else NOW + wait)
        assert top_up.declines == number + 1
    assert top_up.reason is BlockReason.TOO_MANY_DECLINES


def test_what_the_customer_changes_does_not_shorten_the_wait_after_a_decline() -> None:
    soft = declined(PAYING, "pur_1", "insufficient_funds", NOW, final=False)
    until, later = NOW + WAITS[0], NOW + timedelta(minutes=1)
    while_off = declined(turned_off(PAYING, NOW), "pur_1", "insufficient_funds", NOW, final=False)
    for before in (soft, turned_off(soft, later), while_off):
        changed = agreed(before, "ada", "credits", replace(WISH, threshold=60), later)
        assert (changed.is_on, changed.threshold) == (True, 60)
        waits = noticed(changed, 0, later)
        assert (waits.state, waits.due_at, waits.declines) == (TopUpState.DUE, until, 1)
        assert waits.error == "insufficient_funds"
        assert decided(waits, LOW, "pur_2", until).state is TopUpState.PAYING
        over = agreed(before, "ada", "credits", WISH, until)
        assert noticed(over, 0, until).due_at == until  # it was waited out
    off = turned_off(soft, later)
    assert (off.state, off.due_at) == (TopUpState.IDLE, until)
    assert decided(off, LOW, "pur_2", until).due_at is None
    assert turned_off(soft, until).due_at is None


def test_what_stripe_will_not_do_is_not_asked_again() -> None:
    blocked = declined(PAYING, "pur_1", "resource_missing", NOW, final=True)
    assert (blocked.reason, blocked.error) == (BlockReason.REFUSED, "resource_missing")


def blocked_by(reason: BlockReason) -> TopUp:
    if reason is BlockReason.NO_CARD:
        return decided(ON, replace(LOW, card=None, card_mark=None), "pur_1", NOW)
    codes = {
        BlockReason.DECLINED: "lost_card",
        BlockReason.AUTHENTICATION_REQUIRED: "authentication_required",
        BlockReason.REFUSED: "amount_too_small",
    }
    soft = replace(PAYING, declines=2)
    code = codes.get(reason, "insufficient_funds")
    return declined(soft, "pur_1", code, NOW, final=reason is BlockReason.REFUSED)


@pytest.mark.parametrize("reason", sorted(BREAKERS))
def test_a_breaker_opens_by_another_card_or_by_a_payment(reason: BlockReason) -> None:
    blocked = blocked_by(reason)
    assert blocked.reason is reason
    assert is_broken(blocked)
    nudged = card_changed(blocked, NOW)
    assert nudged.due_at == NOW
    assert card_changed(nudged, NOW + LEASE) is nudged
    same = replace(LOW, card_mark=blocked.card_mark)
    still = decided(nudged, same, "pur_2", NOW)
    assert (still.state, still.reason, still.due_at) == (TopUpState.BLOCKED, reason, None)
    opened = decided(nudged, replace(LOW, card_mark="two"), "pur_2", NOW)
    assert (opened.state, opened.declines) == (TopUpState.PAYING, 0)
    free = paid_otherwise(blocked, NOW)
    assert (free.state, free.declines, free.due_at) == (TopUpState.IDLE, 0, NOW)
    assert decided(free, same if same.card_mark else LOW, "pur_2", NOW).state is TopUpState.PAYING


def test_what_is_no_breaker_is_left_alone_by_cards_and_payments() -> None:
    for top_up in (ON, PAYING, decided(ON, replace(LOW, debt=1), "pur_1", NOW)):
        assert card_changed(top_up, NOW) is top_up
        assert paid_otherwise(top_up, NOW) is top_up


def test_turning_it_off_and_on_again_opens_no_breaker_and_forgets_no_spending() -> None:
    spent = paid(PAYING, "pur_1", 500, NOW)
    again = decided(spent, LOW, "pur_2", NOW)
    blocked = declined(again, "pur_2", "lost_card", NOW, final=False)
    off = turned_off(blocked, NOW)
    assert (off.is_on, off.due_at, off.reason) == (False, None, BlockReason.DECLINED)
    assert card_changed(off, NOW) is off
    assert decided(off, replace(LOW, card_mark="two"), "pur_3", NOW).state is TopUpState.BLOCKED
    on = agreed(off, "ada", "credits", WISH, NOW)
    assert (on.reason, on.due_at, on.spent_minor) == (BlockReason.DECLINED, NOW, 500)
    dollars = agreed(on, "ada", "credits", replace(WISH, currency="usd"), NOW)
    assert dollars.spent_minor == 0


def test_what_is_being_paid_when_it_is_turned_off_ends_as_it_will() -> None:
    off = turned_off(PAYING, NOW)
    assert (off.state, off.is_on) == (TopUpState.PAYING, False)
    done = paid(off, "pur_1", 500, NOW)
    assert (done.state, done.due_at) == (TopUpState.IDLE, None)
    soft = declined(off, "pur_1", "insufficient_funds", NOW, final=False)
    assert (soft.state, soft.due_at) == (TopUpState.IDLE, NOW + WAITS[0])
    assert turned_off(noticed(ON, 1, NOW), NOW).state is TopUpState.IDLE
    assert decided(turned_off(ON, NOW), LOW, "pur_2", NOW).state is TopUpState.IDLE
    assert agreed(off, "ada", "credits", WISH, NOW).state is TopUpState.PAYING


def test_a_payment_that_was_never_made_is_decided_on_anew() -> None:
    anew = given_up(PAYING, "pur_1", NOW)
    assert (anew.state, anew.spent_minor, anew.due_at) == (TopUpState.IDLE, 0, NOW)
    assert given_up(anew, "pur_1", NOW) is anew


def test_a_payment_on_its_way_is_looked_at_less_often() -> None:
    assert waiting(PAYING, "pur_1", NOW).due_at == NOW + LOOK_AGAIN
    assert waiting(PAYING, "pur_2", NOW) is PAYING


def test_an_earlier_payment_that_the_customer_has_seen_to_counts_and_opens() -> None:
    blocked = declined(PAYING, "pur_1", "authentication_required", NOW, final=False)
    seen_to = paid(blocked, "pur_1", 500, NOW)
    assert (seen_to.state, seen_to.spent_minor) == (TopUpState.IDLE, 500)
    busy = decided(seen_to, LOW, "pur_2", NOW)
    assert paid(busy, "pur_1", 500, NOW) == replace(busy, spent_minor=1_500, updated_at=NOW)


def test_a_month_that_begins_while_it_is_paid_counts_what_is_being_paid() -> None:
    december = datetime(2026, 12, 1, tzinfo=UTC)
    assert in_month(paid(PAYING, "pur_1", 500, december), december).spent_minor == 0
    assert in_month(PAYING, december).spent_minor == 500
    late = declined(PAYING, "pur_1", "insufficient_funds", december, final=False)
    assert in_month(late, december).spent_minor == 0


# -- everything with everything ------------------------------------------------------------------


def states() -> Iterator[TopUp]:
    """A top-up in every state, on and off."""
    waiting = declined(PAYING, "pur_1", "insufficient_funds", NOW, final=False)
    found = [ON, noticed(ON, 1, NOW), PAYING, waiting]
    found += [blocked_by(reason) for reason in sorted(BREAKERS)]
    found += [decided(ON, replace(LOW, debt=1), "x", NOW)]
    for top_up in found:
        yield top_up
        yield turned_off(top_up, NOW)


STEPS: dict[str, Callable[[TopUp], TopUp]] = {
    "agree": lambda one: agreed(one, "ada", "credits", WISH, NOW),
    "off": lambda one: turned_off(one, NOW),
    "notice": lambda one: noticed(one, 1, NOW),
    "decide": lambda one: decided(one, LOW, "pur_n", NOW),
    "decide other card": lambda one: decided(one, replace(LOW, card_mark="n"), "pur_n", NOW),
    "decide enough": lambda one: decided(one, replace(LOW, available=90), "pur_n", NOW),
    "card": lambda one: card_changed(one, NOW),
    "paid": lambda one: paid(one, "pur_1", 500, NOW),
    "stranger declined": lambda one: declined(one, "pur_0", "lost_card", NOW, final=False),
    "declined": lambda one: declined(one, "pur_1", "lost_card", NOW, final=False),
    "given up": lambda one: given_up(one, "pur_1", NOW),
    "otherwise": lambda one: paid_otherwise(one, NOW),
}


@pytest.mark.parametrize(
    ("before", "step"),
    [
        pytest.param(before, step, id=f"{number}-{step}")
        for (number, before), step in itertools.product(enumerate(states()), STEPS)
    ],
)
def test_whatever_happens_in_whatever_state(before: TopUp, step: str) -> None:
    after = STEPS[step](before)
    begins = after.state is TopUpState.PAYING and after.purchase_id != before.purchase_id
    if begins:
        assert step.startswith("decide")
        assert before.is_on
        assert before.state is not TopUpState.PAYING  # one at a time
        assert not is_broken(before) or after.card_mark != before.card_mark
    if before.state is TopUpState.PAYING and after.state is not TopUpState.PAYING:
        assert step in ("paid", "declined", "given up")  # its own end alone
    if is_broken(before) and not is_broken(after):
        assert step in ("decide", "decide other card", "decide enough", "paid", "otherwise")
    assert (after.state is TopUpState.BLOCKED) == (after.reason is not None)
    assert (after.paying_minor > 0) == (after.state is TopUpState.PAYING)
    assert 0 <= after.paying_minor <= after.spent_minor
    if after.is_on and not is_broken(after):
        assert after.due_at is not None  # never forgotten


class Story(RuleBasedStateMachine):
    """A year in the life of a top-up: what is begun is counted by the story itself."""

    @initialize(cap=st.integers(500, 3_000))
    def begin(self, cap: int) -> None:
        self.now = self.not_before = NOW
        self.cap = cap
        self.made = 0
        self.begun: dict[str, tuple[datetime, int]] = {}
        self.top_up = agreed(None, "ada", "credits", replace(WISH, cap_minor=cap), NOW)

    @rule(hours=st.integers(1, 400))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(available=st.sampled_from([0, 49, 50, None]), card=st.sampled_from([None, "one", "two"]))
    def look(self, available: int | None, card: str | None) -> None:
        due = self.top_up.due_at
        if due is None or due > self.now:
            return
        seen = Seen(available=available, amount_minor=500, card=card, card_mark=card)
        self.made += 1
        before, name = self.top_up, f"pur_{self.made}"
        self.top_up = decided(before, seen, name, self.now)
        if self.top_up.purchase_id == name:
            assert before.state is not TopUpState.PAYING
            assert self.now >= self.not_before
            self.begun[name] = (month_of(self.now)[0], 500)

    @rule(code=st.sampled_from(["lost_card", "insufficient_funds", "authentication_required"]))
    def decline(self, code: str) -> None:
        if self.top_up.state is TopUpState.PAYING:
            name = str(self.top_up.purchase_id)
            del self.begun[name]
            self.top_up = declined(self.top_up, name, code, self.now, final=False)
            if self.top_up.state is TopUpState.DUE:
                self.not_before = self.now + WAITS[self.top_up.declines - 1]

    @rule()
    def pay(self) -> None:
        if self.top_up.state is TopUpState.PAYING:
            self.top_up = paid(self.top_up, str(self.top_up.purchase_id), 500, self.now)

    @rule()
    def new_card(self) -> None:
        self.top_up = card_changed(self.top_up, self.now)

    @rule()
    def toggle(self) -> None:
        wish = replace(WISH, cap_minor=self.cap)
        off = turned_off(self.top_up, self.now)
        self.top_up = noticed(agreed(off, "ada", "credits", wish, self.now), 0, self.now)

    @invariant()
    def no_month_costs_more_than_the_cap(self) -> None:
        months: dict[datetime, int] = {}
        for month, amount in self.begun.values():
            months[month] = months.get(month, 0) + amount
        assert all(spent <= self.cap for spent in months.values())


Story.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestStory = Story.TestCase
