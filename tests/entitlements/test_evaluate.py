"""What a customer may use."""

from datetime import timedelta

import msgspec
import pytest

from gatekeeper.catalog import TermLimit, Terms
from gatekeeper.entitlements import (
    AccessPolicy,
    CustomerState,
    Entitlements,
    EntitlementsCodec,
    Override,
    Source,
    decode_entitlements,
    encode_entitlements,
    evaluate,
)
from gatekeeper.types import UNLIMITED, Amount
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
    paid_item,
    replace,
    state,
    terms,
)

NOW = START + 3 * DAY
ADDON = terms("addon", features=["exports"], seats=limit(2))


def test_the_default_plan_always_applies() -> None:
    found = evaluate(state(version=7), FREE, POLICY, NOW)
    assert found == Entitlements(
        customer="org_1",
        version=7,
        plans=frozenset({"free"}),
        features=frozenset({"basics"}),
        limits={"seats": 1},
        sources=(Source("default", "free", "free"),),
        evaluated_at=NOW,
    )
    assert found.has_plan("free")
    assert not found.has_plan("pro")
    assert found.has_feature("basics")
    assert not found.has_feature("downloads")
    assert found.limit("seats") == 1
    assert found.limit("nobody_declared_this") == 0


def test_a_plan_satisfies_all_that_it_includes() -> None:
    found = evaluate(state(paid_item()), FREE, POLICY, NOW)
    assert found.plans == {"free", "pro"}
    assert found.features == {"basics", "downloads"}
    assert found.limit("seats") == 5
    assert found.sources == (Source("default", "free", "free"), Source("item", "si_1", "pro"))


def test_an_item_whose_price_is_in_no_catalogue_gives_nothing() -> None:
    found = evaluate(state(item(plan=None)), FREE, POLICY, NOW)
    assert found.plans == {"free"}
    assert len(found.sources) == 1


def test_case_20_of_two_subscriptions_one_canceled_leaves_the_others_features() -> None:
    canceled = item("si_1", ADDON, status="canceled", ended_at=NOW)
    found = evaluate(state(canceled, paid_item("si_2")), FREE, POLICY, NOW)
    assert found.has_feature("downloads")
    assert not found.has_feature("exports")


def test_case_21_three_items_with_different_periods_expire_each_by_itself() -> None:
    ends = [FEBRUARY, FEBRUARY + 10 * DAY, MARCH]
    items = [
        item(f"si_{n}", terms(f"plan_{n}", features=[f"f{n}"]), end=end, cancel_at=end)
        for n, end in enumerate(ends)
    ]
    before = evaluate(state(*items), FREE, POLICY, NOW)
    assert before.features == {"basics", "f0", "f1", "f2"}
    assert before.valid_until == ends[0]
    assert evaluate(state(*items), FREE, POLICY, ends[0]).features == {"basics", "f1", "f2"}
    assert evaluate(state(*items), FREE, POLICY, ends[0]).valid_until == ends[1]
    assert evaluate(state(*items), FREE, POLICY, ends[1]).features == {"basics", "f2"}
    last = evaluate(state(*items), FREE, POLICY, ends[2])
    assert last.features == {"basics"}
    assert last.valid_until is None


def test_case_22_past_due_keeps_its_features_in_the_grace_and_loses_them_after_it() -> None:
    late = item(status="past_due", unpaid_since=FEBRUARY, start=START)
    in_grace = evaluate(state(late), FREE, POLICY, FEBRUARY + 6 * DAY)
    assert in_grace.has_plan("pro")
    assert in_grace.valid_until == FEBRUARY + 7 * DAY
    assert not evaluate(state(late), FREE, POLICY, FEBRUARY + 7 * DAY).has_plan("pro")
    paid = replace(late, status="active", unpaid_since=None)
    assert evaluate(state(paid), FREE, POLICY, FEBRUARY + 8 * DAY).has_plan("pro")


def test_case_23_a_trial_that_ends_without_a_card_is_denied_until_it_is_resumed() -> None:
    trial = item(status="trialing", trial_end=START + 14 * DAY)
    assert evaluate(state(trial), FREE, POLICY, NOW).has_plan("pro")
    paused = replace(trial, status="paused")
    assert not evaluate(state(paused), FREE, POLICY, START + 15 * DAY).has_plan("pro")
    resumed = replace(trial, status="active")
    assert evaluate(state(resumed), FREE, POLICY, START + 16 * DAY).has_plan("pro")


def test_case_24_paused_collection_follows_the_policy() -> None:
    paused = state(item(collection_paused=True))
    assert not evaluate(paused, FREE, POLICY, NOW).has_plan("pro")
    keep = AccessPolicy(pause_collection="keep")
    assert evaluate(paused, FREE, keep, NOW).has_plan("pro")


def test_case_25_a_seat_limit_follows_the_quantity() -> None:
    team = terms("team", seats=limit(2, per_quantity=3))
    assert evaluate(state(item(plan=team, quantity=10)), FREE, POLICY, NOW).limit("seats") == 32
    assert evaluate(state(item(plan=team, quantity=5)), FREE, POLICY, NOW).limit("seats") == 17
    assert evaluate(state(item(plan=team, quantity=0)), FREE, POLICY, NOW).limit("seats") == 2


@pytest.mark.parametrize(
    ("default", "values", "expected"),
    [
        (limit(1), [limit(5), limit(3)], 5),
        (limit(9), [limit(5), limit(3)], 9),
        (limit(1), [limit(5), limit(UNLIMITED)], UNLIMITED),
        (limit(UNLIMITED), [limit(5)], UNLIMITED),
        (limit(1, combine="sum"), [limit(5, combine="sum"), limit(3, combine="sum")], 9),
        (limit(1, combine="sum"), [limit(UNLIMITED, combine="sum")], UNLIMITED),
        (limit(UNLIMITED, combine="sum"), [limit(4, combine="sum")], UNLIMITED),
        (limit(60, combine="min"), [limit(10, combine="min"), limit(30, combine="min")], 10),
        (limit(UNLIMITED, combine="min"), [limit(10, combine="min")], 10),
        (limit(UNLIMITED, combine="min"), [], UNLIMITED),
        (limit(1, combine="sum"), [limit(5, combine="max"), limit(3, combine="sum")], 5),
        (None, [limit(5), limit(3)], 5),
        (None, [limit(5, combine="sum"), limit(3, combine="sum")], 8),
    ],
)
def test_limits_combine_as_declared(
    default: TermLimit | None, values: list[TermLimit], expected: Amount
) -> None:
    free = terms("free", seats=default)
    items = [item(f"si_{n}", terms(f"plan_{n}", seats=value)) for n, value in enumerate(values)]
    assert evaluate(state(*items), free, POLICY, NOW).limit("seats") == expected


def test_a_sum_counts_the_default_plan_once_in_the_plans_that_include_it() -> None:
    free = terms("free", seats=limit(1, combine="sum"))
    pro = terms("pro", includes=["free"], seats=limit(5, combine="sum"))
    extra = terms("extra", seats=limit(2, combine="sum"))

    def seats(*plans: Terms) -> Amount:
        items = [item(f"si_{n}", plan) for n, plan in enumerate(plans)]
        return evaluate(state(*items), free, POLICY, NOW).limit("seats")

    assert seats() == 1
    assert seats(pro) == 5
    assert seats(pro, pro) == 10
    assert seats(extra) == 3
    assert seats(pro, extra) == 7
    nothing = terms("nothing", includes=["free"], seats=limit(0, combine="sum"))
    assert seats(nothing) == 1


def test_an_override_switches_a_feature_on_or_off_until_it_expires() -> None:
    exceptions = (
        Override(kind="feature", key="exports", value=True, expires_at=FEBRUARY),
        Override(kind="feature", key="downloads", value=False),
        Override(kind="feature", key="never_there", value=False),
        Override(kind="feature", key="nor_this", value=0),
    )
    known = state(paid_item(), overrides=exceptions)
    found = evaluate(known, FREE, POLICY, NOW)
    assert found.features == {"basics", "exports"}
    assert found.valid_until == FEBRUARY
    later = evaluate(known, FREE, POLICY, FEBRUARY)
    assert later.features == {"basics"}
    assert later.valid_until is None


def test_an_override_of_a_limit_is_the_limit() -> None:
    def seats(value: bool | Amount) -> Amount:
        exception = Override(kind="limit", key="seats", value=value)
        return evaluate(state(item(), overrides=(exception,)), FREE, POLICY, NOW).limit("seats")

    assert seats(50) == 50
    assert seats(2) == 2
    assert seats(0) == 0
    assert seats(UNLIMITED) is UNLIMITED
    assert seats(True) == 5
    assert seats(False) == 5
    brand_new = Override(kind="limit", key="projects", value=3)
    assert evaluate(state(overrides=(brand_new,)), FREE, POLICY, NOW).limit("projects") == 3


def test_a_plan_can_be_a_gift() -> None:
    gift = Override(kind="plan", key="pro", expires_at=FEBRUARY)
    known = state(overrides=(gift,))
    found = evaluate(known, FREE, POLICY, NOW, terms_of={"pro": PRO})
    assert found.plans == {"free", "pro"}
    assert found.limit("seats") == 5
    assert found.sources[1] == Source("gift", "pro", "pro", FEBRUARY)
    assert found.valid_until == FEBRUARY
    assert not evaluate(known, FREE, POLICY, FEBRUARY, terms_of={"pro": PRO}).has_plan("pro")


def test_no_plan_comes_of_an_unknown_gift_or_is_taken_by_a_negative_one() -> None:
    unknown = state(overrides=(Override(kind="plan", key="gold"),))
    assert evaluate(unknown, FREE, POLICY, NOW, terms_of={"pro": PRO}).plans == {"free"}
    taken = state(paid_item(), overrides=(Override(kind="plan", key="pro", value=False),))
    assert evaluate(taken, FREE, POLICY, NOW, terms_of={"pro": PRO}).has_plan("pro")


def test_of_two_exceptions_for_one_thing_the_one_that_gives_less_counts() -> None:
    exceptions = (
        Override(kind="feature", key="exports", value=True),
        Override(kind="feature", key="exports", value=False),
        Override(kind="limit", key="seats", value=UNLIMITED),
        Override(kind="limit", key="seats", value=7),
        Override(kind="limit", key="seats", value=9),
    )
    for order in (exceptions, exceptions[::-1]):
        found = evaluate(state(overrides=order), FREE, POLICY, NOW)
        assert not found.has_feature("exports")
        assert found.limit("seats") == 7


def test_valid_until_is_the_earliest_change() -> None:
    known = state(
        item("si_1", cancel_at=NOW + 9 * DAY),
        item("si_2", start=NOW + 4 * DAY),
        item("si_3", status="canceled"),
        overrides=(
            Override(kind="feature", key="old", expires_at=START),
            Override(kind="feature", key="x", expires_at=NOW + 5 * DAY),
        ),
    )
    assert evaluate(known, FREE, POLICY, NOW).valid_until == NOW + 4 * DAY
    assert evaluate(known, FREE, POLICY, NOW + 4 * DAY).valid_until == NOW + 5 * DAY


@pytest.mark.parametrize(
    "known",
    [
        state(),
        state(paid_item(cancel_at=FEBRUARY), version=2**40),
        state(
            item(plan=terms("big", seats=limit(UNLIMITED))),
            overrides=(Override(kind="plan", key="pro", expires_at=MARCH),),
        ),
    ],
)
def test_entitlements_survive_a_shared_cache(known: CustomerState) -> None:
    found = evaluate(
        known,
        FREE,
        POLICY,
        NOW + timedelta(microseconds=1),
        terms_of={"pro": PRO},
    )
    data = encode_entitlements(found)
    assert decode_entitlements(data) == found
    codec = EntitlementsCodec()
    assert codec.encode(found) == data
    assert codec.decode(data) == found


def test_the_shared_form_of_another_release_is_not_read() -> None:
    found = evaluate(state(), FREE, POLICY, NOW)
    other = encode_entitlements(found).replace(b"entitlements/1", b"entitlements/2")
    for data in (other, b"", b"\xff", msgspec.msgpack.encode({"customer": "org_1"})):
        with pytest.raises(msgspec.MsgspecError):
            decode_entitlements(data)
