"""What holds for every customer, whatever was bought, in any order, at any time."""

import itertools
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gatekeeper.catalog import (
    Cadence,
    Combine,
    TermCap,
    TermCost,
    TermGrant,
    TermLimit,
    Terms,
)
from gatekeeper.entitlements import (
    AccessPolicy,
    CustomerState,
    Item,
    Override,
    PaidLine,
    access_of,
    allotment,
    evaluate,
    explain,
)
from gatekeeper.entitlements.amounts import size
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.ledger import Account, Allotment, refresh
from gatekeeper.periods import add_periods
from gatekeeper.types import UNLIMITED, Amount, Every
from tests.entitlements.builders import DAY, POLICY, START, Wallet, grant, item, line, state

T = TypeVar("T")

COMBINES: dict[str, Combine] = {"seats": "max", "projects": "sum"}
CADENCES: list[Cadence] = ["once", "hour", "day", "week", "month"]
PRICED: list[Every] = ["month", "year"]
FEATURES = ["basics", "downloads", "exports"]
STATUSES = [
    "trialing",
    "active",
    "past_due",
    "unpaid",
    "incomplete",
    "incomplete_expired",
    "canceled",
    "paused",
    "unheard_of",
]

amounts: st.SearchStrategy[Amount] = st.integers(1, 1_000) | st.just(UNLIMITED)
instants = st.integers(-40 * 24, 160 * 24).map(lambda hours: START + timedelta(hours=hours))
maybe_instants = st.none() | instants


@st.composite
def limits(draw: st.DrawFn) -> dict[str, TermLimit]:
    return {
        key: TermLimit(
            value=draw(st.integers(0, 9) | st.just(UNLIMITED)),
            per_quantity=draw(st.integers(0, 2)),
            combine=combine,
        )
        for key, combine in COMBINES.items()
        if draw(st.booleans())
    }


@st.composite
def term_grants(draw: st.DrawFn, plan: str) -> TermGrant:
    amount = draw(amounts)
    cadence: Cadence = draw(st.sampled_from(CADENCES))
    countable = amount is not UNLIMITED
    return grant(
        amount,
        cadence,
        plan=plan,
        trial=draw(st.none() | st.integers(1, 50)),
        rollover=draw(st.sampled_from([0, 100])) if countable and cadence != "once" else 0,
        per_quantity=draw(st.booleans()) if countable else False,
        on_cancel=draw(st.sampled_from(["expire", "keep"])),
        overage="meter" if countable and draw(st.booleans()) else None,
        expires_after_days=draw(st.none() | st.just(20)) if cadence == "once" else None,
        on_upgrade=draw(st.sampled_from(["expire", "keep"])),
    )


caps = st.builds(
    TermCap,
    unit=st.sampled_from(["credits", "exports"]),
    every=st.sampled_from(["day", "month"]),
    limit=st.integers(1, 1_000),
)
formulas = st.builds(
    Formula,
    st.integers(0, 3),
    st.tuples(st.builds(RateTerm, st.integers(1, 9), st.integers(1, 9), st.just(("input",)))),
)
costs = st.dictionaries(
    st.sampled_from(["chat", "image:large"]),
    st.builds(TermCost, unit=st.sampled_from(["credits", "exports"]), formula=formulas),
)


@st.composite
def plans(draw: st.DrawFn, key: str, includes: tuple[str, ...] = ()) -> Terms:
    grants = [draw(term_grants(key))] if draw(st.booleans()) else []
    return Terms(
        plan=key,
        plans=frozenset({key, *includes}),
        features=draw(st.frozensets(st.sampled_from(FEATURES))),
        limits=draw(limits()),
        grants=tuple(grants),
        caps=tuple({(cap.unit, cap.every): cap for cap in draw(st.lists(caps))}.values()),
        costs=draw(costs),
    )


FREE_PLANS = plans("free")
PAID_PLANS = plans("basic") | plans("pro", ("free",))


@st.composite
def items(draw: st.DrawFn, item_id: str) -> Item:
    plan = draw(PAID_PLANS)
    other = draw(PAID_PLANS)
    start = draw(instants)
    anchor = start + draw(st.sampled_from([0, 0, 0, 9, 20])) * DAY
    months = [add_periods(anchor, "month", n) for n in range(5)]
    lines: list[PaidLine] = []
    for n, (begin, end) in enumerate(itertools.pairwise(months)):
        if draw(st.booleans()):
            bought = draw(st.sampled_from([plan, other]))
            count = draw(st.integers(1, 3))
            lines.append(
                line(begin, end, bought, item_id=item_id, quantity=count, line_id=f"{item_id}{n}")
            )
        if draw(st.booleans()):
            raised = begin + draw(st.integers(0, 27)) * DAY
            cost = draw(st.sampled_from([-100, 0, 100]))
            lines.append(
                line(
                    raised,
                    end,
                    other,
                    item_id=item_id,
                    proration=True,
                    amount=cost,
                    line_id=f"{item_id}p{n}",
                )
            )
    return item(
        item_id,
        draw(st.none() | st.just(plan)),
        status=draw(st.sampled_from(STATUSES)),
        start=start,
        anchor=anchor,
        end=months[1],
        quantity=draw(st.integers(0, 4)),
        lines=lines,
        trial_end=draw(st.none() | st.just(anchor)),
        cancel_at=draw(maybe_instants),
        ended_at=draw(maybe_instants),
        unpaid_since=draw(maybe_instants),
        collection_paused=draw(st.booleans()),
    )


OVERRIDES = st.builds(
    Override,
    kind=st.sampled_from(["feature", "limit", "plan"]),
    key=st.sampled_from([*FEATURES, *COMBINES, "pro", "gold"]),
    value=st.booleans() | st.integers(0, 9) | st.just(UNLIMITED),
    expires_at=maybe_instants,
)


@st.composite
def states(draw: st.DrawFn) -> CustomerState:
    count = draw(st.integers(0, 3))
    return state(
        *(draw(items(f"si_{n}")) for n in range(count)),
        created=draw(instants),
        overrides=tuple(draw(st.lists(OVERRIDES, max_size=4))),
    )


POLICIES = st.builds(
    AccessPolicy,
    past_due_grace=st.integers(0, 10).map(lambda days: timedelta(days=days)),
    renewal_grace=st.sampled_from([timedelta(0), timedelta(hours=24)]),
    pause_collection=st.sampled_from(["keep", "deny"]),
)


@given(states(), FREE_PLANS, PAID_PLANS, items("si_new"), instants, POLICIES)
def test_adding_a_paid_subscription_never_removes_anything(
    known: CustomerState, free: Terms, gift: Terms, new: Item, now: datetime, policy: AccessPolicy
) -> None:
    bought = replace(known, items=(*known.items, new))
    before = evaluate(known, free, policy, now, terms_of={"pro": gift})
    after = evaluate(bought, free, policy, now, terms_of={"pro": gift})
    assert before.features <= after.features
    assert before.plans <= after.plans
    for key, value in before.limits.items():
        assert size(value) <= size(after.limit(key))


@given(states(), FREE_PLANS, PAID_PLANS, instants, st.randoms(use_true_random=False))
def test_no_order_of_what_is_stored_changes_an_answer(
    known: CustomerState, free: Terms, gift: Terms, now: datetime, chance: random.Random
) -> None:
    shuffled = replace(
        known,
        items=tuple(
            replace(one, paid_lines=tuple(_shuffled(one.paid_lines, chance)))
            for one in _shuffled(known.items, chance)
        ),
        overrides=tuple(_shuffled(known.overrides, chance)),
    )
    given_terms = {"pro": gift}
    assert evaluate(known, free, POLICY, now, terms_of=given_terms) == evaluate(
        shuffled, free, POLICY, now, terms_of=given_terms
    )
    assert (
        explain(known, free, POLICY, now, terms_of=given_terms).lines()
        == explain(shuffled, free, POLICY, now, terms_of=given_terms).lines()
    )
    assert allotment(
        known, free, "credits", POLICY, since=None, now=now, terms_of=given_terms
    ) == allotment(shuffled, free, "credits", POLICY, since=None, now=now, terms_of=given_terms)


def _shuffled(values: Sequence[T], chance: random.Random) -> list[T]:
    mixed = list(values)
    chance.shuffle(mixed)
    return mixed


@given(states(), FREE_PLANS, instants, POLICIES, st.integers(0, 1_000))
def test_an_answer_holds_until_the_moment_that_it_names(
    known: CustomerState, free: Terms, now: datetime, policy: AccessPolicy, share: int
) -> None:
    first = evaluate(known, free, policy, now)
    end = now + 400 * DAY if first.valid_until is None else first.valid_until
    assert end > now
    last = end - timedelta(microseconds=1)
    for later in (now + (end - now) * share / 1_001, last):
        again = evaluate(known, free, policy, later)
        assert replace(again, evaluated_at=now) == first


@given(states(), FREE_PLANS, instants, maybe_instants)
def test_nothing_is_granted_before_its_time(
    known: CustomerState, free: Terms, now: datetime, since: datetime | None
) -> None:
    due = allotment(known, free, "credits", POLICY, since=since, now=now)
    for target in due.targets:
        if target.window_start is not None and target.window_end is not None:
            assert target.window_start <= now
            assert target.window_start < target.window_end
            assert target.expires_at == target.window_end + POLICY.renewal_grace
        assert (target.amount is None) <= target.mints
        assert target.amount is None or target.amount > 0
    past = replace(
        known,
        items=tuple(
            replace(one, paid_lines=tuple(p for p in one.paid_lines if p.start <= now))
            for one in known.items
            if one.started_at <= now
        ),
    )
    same = allotment(past, free, "credits", POLICY, since=since, now=now)
    assert same.targets == due.targets
    assert evaluate(past, free, POLICY, now).features == evaluate(known, free, POLICY, now).features


@given(states(), FREE_PLANS, instants)
def test_an_item_grants_only_with_access_or_what_it_owed_at_its_end(
    known: CustomerState, free: Terms, now: datetime
) -> None:
    due = allotment(known, free, "credits", POLICY, since=None, now=now)
    for one in known.items:
        mine = [t for t in due.targets if t.series.startswith(f"{one.id}:")]
        if access_of(one, POLICY, now).allowed:
            continue
        for target in mine:
            assert target.on_cancel == "keep"
            assert one.ended_at is not None
            assert target.window_start is not None
            assert target.window_start < one.ended_at


@given(states(), FREE_PLANS, instants, maybe_instants)
def test_windows_of_one_series_come_in_order_and_do_not_overlap(
    known: CustomerState, free: Terms, now: datetime, since: datetime | None
) -> None:
    due = allotment(known, free, "credits", POLICY, since=since, now=now)
    keys = [target.key for target in due.targets]
    assert len(keys) == len(set(keys))
    ends: dict[str, datetime] = {}
    for target in due.targets:
        if target.window_start is None or target.window_end is None:
            continue
        assert ends.get(target.series, target.window_start) <= target.window_start
        ends[target.series] = target.window_end


@given(states(), FREE_PLANS, instants)
def test_granting_what_is_due_leaves_nothing_due(
    known: CustomerState, free: Terms, now: datetime
) -> None:
    account = Account(customer="org_1", unit="credits")
    due = allotment(known, free, "credits", POLICY, since=None, now=now)
    once = refresh(account, due, now).account
    again = allotment(known, free, "credits", POLICY, since=once.last_entry_at, now=now)
    change = refresh(once, again, now)
    assert change.account == once
    assert change.entries == ()


@st.composite
def steady_items(draw: st.DrawFn) -> Item:
    """An active item, monthly or yearly, of which some periods were not paid for."""
    start = START + draw(st.integers(0, 40)) * DAY
    plan = Terms(
        plan="pro",
        plans=frozenset({"pro"}),
        grants=(
            grant(
                draw(st.integers(1, 1_000)),
                draw(st.sampled_from(["day", "week", "month"])),
                rollover=draw(st.sampled_from([0, 0, 100, UNLIMITED])),
                trial=draw(st.none() | st.integers(1, 50)),
            ),
        ),
    )
    trial_end = draw(st.none() | st.integers(1, 20).map(lambda days: start + days * DAY))
    anchor = trial_end or start
    every = draw(st.sampled_from(PRICED))
    edges = [add_periods(anchor, every, n) for n in range(4)]
    lines = [
        line(begin, end, plan) for begin, end in itertools.pairwise(edges) if draw(st.booleans())
    ]
    if trial_end is not None:
        lines.append(line(start, trial_end, plan, amount=0))
    return item(plan=plan, start=start, anchor=anchor, trial_end=trial_end, lines=lines)


@given(steady_items(), st.integers(0, 20), st.integers(0, 23), st.data())
def test_looking_once_at_the_end_finds_what_looking_every_day_finds(
    one: Item, span: int, hour: int, data: st.DataObject
) -> None:
    """As far back as windows are caught up with: three weeks of days, months of months."""
    assert one.terms is not None
    (granted,) = one.terms.grants
    days = span if granted.cadence == "day" else 5 * span
    known = state(one, created=one.started_at)
    end = one.started_at + days * DAY + timedelta(hours=hour)
    daily, lazy, seldom = Wallet(), Wallet(), Wallet()
    for day in range(days + 1):
        now = one.started_at + day * DAY
        daily.look(known, now)
        if data.draw(st.booleans()):
            seldom.look(known, now)
    expected = daily.look(known, end)
    assert lazy.look(known, end) == expected
    assert seldom.look(known, end) == expected
    assert lazy.granted <= seldom.granted <= daily.granted
    if granted.rollover != 0 and expected:
        assert lazy.granted == daily.granted


@given(
    states(),
    FREE_PLANS,
    PAID_PLANS,
    st.lists(instants, min_size=1, max_size=4),
    POLICIES,
    st.booleans(),
    st.integers(0, 1_000),
)
def test_an_account_stays_as_it_is_until_the_moment_that_its_allotment_names(
    known: CustomerState,
    free: Terms,
    gift: Terms,
    looks: list[datetime],
    policy: AccessPolicy,
    calendar_windows: bool,
    share: int,
) -> None:
    account, due, now = Account(customer="org_1", unit="credits"), Allotment(), START

    def allotted(now: datetime) -> Allotment:
        return allotment(
            known,
            free,
            "credits",
            policy,
            since=account.last_entry_at,
            now=now,
            terms_of={"pro": gift},
            calendar_windows=calendar_windows,
        )

    for now in sorted(looks):
        due = allotted(now)
        account = refresh(account, due, now).account
    end = now + 400 * DAY if due.until is None else due.until
    assert end > now
    last = end - timedelta(microseconds=1)
    for later in (now + (end - now) * share / 1_001, last):
        again = allotted(later)
        assert again.until == due.until
        assert (again.caps, again.formulas) == (due.caps, due.formulas)
        change = refresh(account, again, later)
        assert change.entries == ()
        assert change.account == account
