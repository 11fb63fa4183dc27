"""Velocity rules: read from their text, and broken by bursts alone."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.projection.velocity import Sighting, VelocityRule, breaks, parse_rules

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = VelocityRule(counts="failed_payments", more_than=2, within=timedelta(hours=1), then="freeze")


def seen(*minutes: int) -> list[Sighting]:
    return [Sighting(NOW + minute * MINUTE, f"ch_{minute}") for minute in minutes]


def broken(*minutes: int) -> list[str]:
    return [one.id for one in breaks(RULE, seen(*minutes))]


def test_rules_are_read_from_their_text() -> None:
    assert parse_rules("") == parse_rules(" , ") == ()
    assert parse_rules("failed_payments>2/60m:freeze, cards>3/1d:signal") == (
        RULE,
        VelocityRule(counts="cards", more_than=3, within=timedelta(days=1), then="signal"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "failed_payments",
        "failed_payments>2/60s:freeze",
        "chargebacks>2/1h:freeze",
        "cards>2/1h:jail",
        "cards>2/0h:freeze",
        "cards>2/31d:freeze",
        "cards>-1/1h:freeze",
        "cards>2/1h:freeze;top_ups>1/1h:freeze",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be rules such as"):
        parse_rules(text)


def test_a_burst_breaks_the_rule_once_with_the_one_that_is_too_much() -> None:
    assert broken(0, 1) == []
    assert broken(0, 1, 2) == ["ch_2"]
    assert broken(0, 1, 2, 3, 4) == ["ch_2"]
    assert broken(0, 30, 60) == []  # an hour later the first is out of it
    assert broken(0, 30, 59) == ["ch_59"]
    assert broken(0, 1, 2, 200, 201, 202, 203) == ["ch_2", "ch_202"]


def test_distinct_ones_are_counted_by_their_value() -> None:
    same = [Sighting(NOW + n * MINUTE, f"ch_{n}", "card_1") for n in range(9)]
    assert breaks(RULE, same) == []
    others = [Sighting(NOW + n * MINUTE, f"ch_{n}", f"card_{n % 3}") for n in range(9)]
    assert [one.id for one in breaks(RULE, others)] == ["ch_2"]


@given(st.lists(st.integers(0, 300), unique=True), st.randoms())
def test_the_order_in_which_it_was_heard_makes_no_difference(
    minutes: list[int], random: Random
) -> None:
    heard = seen(*minutes)
    random.shuffle(heard)
    assert breaks(RULE, heard) == breaks(RULE, seen(*sorted(minutes)))
