"""The path of a decision."""

from datetime import datetime

from gatekeeper.entitlements import CustomerState, Override, Turn, evaluate, explain
from gatekeeper.entitlements.explanation import REASONS
from gatekeeper.types import UNLIMITED
from tests.entitlements.builders import (
    DAY,
    FEBRUARY,
    FREE,
    MARCH,
    POLICY,
    PRO,
    START,
    item,
    limit,
    line,
    paid_item,
    state,
    terms,
)

NOW = START + 3 * DAY
TEAM = terms("team", features=["downloads", "exports"], seats=limit(0, per_quantity=3))


def full_story() -> CustomerState:
    return state(
        paid_item("si_2", TEAM, quantity=4, cancel_at=FEBRUARY),
        item("si_1", status="past_due", unpaid_since=NOW - DAY),
        item("si_3", None, status="new_in_2031"),
        item("si_4", start=MARCH),
        version=12,
        overrides=(
            Override(
                kind="feature",
                key="beta",
                expires_at=MARCH,
                reason="asked nicely",
                actor="support_1",
            ),
            Override(kind="feature", key="exports", value=False),
            Override(kind="feature", key="beta", value=True, expires_at=MARCH + DAY),
            Override(kind="feature", key="old", expires_at=START),
            Override(kind="limit", key="seats", value=UNLIMITED),
            Override(kind="limit", key="projects", value=True),
            Override(kind="limit", key="rooms", value=8),
            Override(kind="plan", key="pro"),
            Override(kind="plan", key="gold"),
            Override(kind="plan", key="team", value=False),
        ),
    )


def test_it_explains_what_evaluate_decides() -> None:
    known = full_story()
    given = {"pro": PRO, "team": TEAM}
    story = explain(known, FREE, POLICY, NOW, terms_of=given)
    found = evaluate(known, FREE, POLICY, NOW, terms_of=given)
    assert story.entitlements == found
    assert set(story.plans) == found.plans
    assert set(story.features) == found.features
    assert {key: told.value for key, told in story.limits.items()} == found.limits
    assert story.turns[0].at == found.valid_until


def test_each_item_says_why_and_until_when() -> None:
    stories = explain(full_story(), FREE, POLICY, NOW).items
    assert [(s.id, s.allowed, s.reason, s.until, s.paid_until) for s in stories] == [
        ("si_1", True, "past_due", NOW + 6 * DAY, None),
        ("si_2", True, "active", FEBRUARY, FEBRUARY),
        ("si_3", False, "unknown_status", None, None),
        ("si_4", False, "not_started", MARCH, None),
    ]


def test_what_is_paid_for_without_a_gap() -> None:
    def paid_until(*edges: datetime) -> datetime | None:
        pairs = zip(edges[::2], edges[1::2], strict=True)
        known = state(item(lines=[line(start, end) for start, end in pairs]))
        return explain(known, FREE, POLICY, NOW).items[0].paid_until

    assert paid_until(START, FEBRUARY, FEBRUARY, MARCH) == MARCH
    assert paid_until(START, FEBRUARY, FEBRUARY + DAY, MARCH) == FEBRUARY
    assert paid_until(FEBRUARY, MARCH) is None
    assert paid_until(START - DAY, START) is None
    assert paid_until() is None


def test_each_source_of_a_key_is_named() -> None:
    story = explain(full_story(), FREE, POLICY, NOW, terms_of={"pro": PRO, "team": TEAM})
    assert story.plans == {
        "free": ("default plan free", "gift of pro", "item si_1 (pro)"),
        "pro": ("gift of pro", "item si_1 (pro)"),
        "team": ("item si_2 (team)",),
    }
    assert story.features == {
        "basics": ("default plan free", "gift of pro", "item si_1 (pro)"),
        "beta": ("override",),
        "downloads": ("gift of pro", "item si_1 (pro)", "item si_2 (team)"),
    }
    assert story.switched_off == ("exports",)
    seats = story.limits["seats"]
    assert seats.overridden
    assert seats.given == (
        ("default plan free", 1),
        ("gift of pro", 5),
        ("item si_1 (pro)", 5),
        ("item si_2 (team)", 12),
    )
    assert not explain(state(), FREE, POLICY, NOW).limits["seats"].overridden


def test_each_override_says_whether_it_counts() -> None:
    stories = explain(full_story(), FREE, POLICY, NOW, terms_of={"pro": PRO}).overrides
    assert [(s.kind, s.key, s.effect) for s in stories] == [
        ("feature", "beta", "in_force"),
        ("feature", "beta", "superseded"),
        ("feature", "exports", "in_force"),
        ("feature", "old", "expired"),
        ("limit", "projects", "not_a_number"),
        ("limit", "rooms", "in_force"),
        ("limit", "seats", "in_force"),
        ("plan", "gold", "not_in_catalogue"),
        ("plan", "pro", "in_force"),
        ("plan", "team", "not_a_gift"),
    ]


def test_what_changes_next_comes_first() -> None:
    assert explain(full_story(), FREE, POLICY, NOW).turns == (
        Turn(NOW + 6 * DAY, "the access of item si_1 ends"),
        Turn(FEBRUARY, "the access of item si_2 ends"),
        Turn(MARCH, "the access of item si_4 begins"),
        Turn(MARCH, "the override of feature beta expires"),
        Turn(MARCH + DAY, "the override of feature beta expires"),
    )


def test_the_lines_tell_it_all() -> None:
    known = full_story()
    assert explain(known, FREE, POLICY, NOW, terms_of={"pro": PRO}).lines() == [
        "customer org_1, version 12, at 2025-01-04T00:00:00+00:00",
        "items:",
        "  si_1 of sub_of_si_1: 1 x plan pro (price_1): yes until 2025-01-10T00:00:00+00:00, a "
        "payment is late, and the grace is not over (status past_due); not paid",
        "  si_2 of sub_of_si_2: 4 x plan team (price_1): yes until 2025-02-01T00:00:00+00:00, the "
        "subscription is active (status active); paid until 2025-02-01T00:00:00+00:00",
        "  si_3 of sub_of_si_3: 1 x no plan of the catalogue (price_1): no, this release does not "
        "know Stripe's status (status new_in_2031); not paid",
        "  si_4 of sub_of_si_4: 1 x plan pro (price_1): no until 2025-03-01T00:00:00+00:00, it has "
        "not started yet (status active); not paid",
        "overrides:",
        "  feature beta = on until 2025-03-01T00:00:00+00:00: in force, by support_1, because "
        "'asked nicely'",
        "  feature beta = on until 2025-03-02T00:00:00+00:00: superseded",
        "  feature exports = off: in force",
        "  feature old = on until 2025-01-01T00:00:00+00:00: expired",
        "  limit projects = on: not a number",
        "  limit rooms = 8: in force",
        "  limit seats = unlimited: in force",
        "  plan gold = on: not in catalogue",
        "  plan pro = on: in force",
        "  plan team = off: not a gift",
        "plans:",
        "  free: by default plan free, gift of pro, item si_1 (pro)",
        "  pro: by gift of pro, item si_1 (pro)",
        "  team: by item si_2 (team)",
        "features:",
        "  basics: by default plan free, gift of pro, item si_1 (pro)",
        "  beta: by override",
        "  downloads: by gift of pro, item si_1 (pro), item si_2 (team)",
        "  exports: no, an override switches it off",
        "limits:",
        "  rooms: 8 (an override; otherwise nothing)",
        "  seats: unlimited (an override; otherwise 1 by default plan free, 5 by gift of pro, "
        "5 by item si_1 (pro), 12 by item si_2 (team))",
        "changes to come:",
        "  2025-01-10T00:00:00+00:00: the access of item si_1 ends",
        "  2025-02-01T00:00:00+00:00: the access of item si_2 ends",
        "  2025-03-01T00:00:00+00:00: the access of item si_4 begins",
        "  2025-03-01T00:00:00+00:00: the override of feature beta expires",
        "  2025-03-02T00:00:00+00:00: the override of feature beta expires",
    ]
    assert explain(state(), terms("free"), POLICY, NOW).lines() == [
        "customer org_1, version 0, at 2025-01-04T00:00:00+00:00",
        "items:",
        "  none",
        "overrides:",
        "  none",
        "plans:",
        "  free: by default plan free",
        "features:",
        "  none",
        "limits:",
        "  none",
        "changes to come:",
        "  none",
    ]
    lone = explain(state(), FREE, POLICY, NOW)
    assert "  seats: 1 (1 by default plan free)" in lone.lines()


def test_every_reason_has_its_words() -> None:
    statuses = [
        *("trialing", "active", "past_due", "unpaid", "incomplete", "incomplete_expired"),
        *("canceled", "paused", "whatever"),
    ]
    known = state(
        *(item(f"si_{status}", status=status, unpaid_since=NOW) for status in statuses),
        item("si_a", collection_paused=True),
        item("si_b", cancel_at=START),
        item("si_c", ended_at=START),
        item("si_d", start=FEBRUARY),
        item("si_e", status="past_due", unpaid_since=START - 30 * DAY),
    )
    story = explain(known, FREE, POLICY, NOW)
    assert {told.reason for told in story.items} == set(REASONS)
    assert len(story.lines()) > len(known.items)
