"""Velocity: too much of something in too short a time, by declared rules.

A rule counts failed payments, top-ups or distinct cards of one customer. It is written as
`failed_payments>5/24h:freeze`: more than five in any 24 hours freeze the customer's credits;
`:signal` tells of it and does no more. Pure: what was seen is an argument.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, get_args

import msgspec

Counted = Literal["failed_payments", "top_ups", "cards"]
Consequence = Literal["freeze", "signal"]

_RULE: Final = re.compile(r"([a-z_]+)>([0-9]{1,6})/([0-9]{1,4})([mhd]):([a-z]+)")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
MAX_WITHIN: Final = timedelta(days=30)


class VelocityRule(msgspec.Struct, frozen=True, kw_only=True):
    """More than `more_than` of what is counted, `within` some time."""

    counts: Counted
    more_than: int
    within: timedelta
    then: Consequence


class Sighting(NamedTuple):
    """One that counts. `value` is what it is one of, where distinct ones are counted."""

    at: datetime
    id: str
    value: str | None = None


def parse_rules(text: str) -> tuple[VelocityRule, ...]:
    """Rules that are separated by commas.

    Raises:
        ValueError: saying what would be right.
    """
    return tuple(_rule(part.strip()) for part in text.split(",") if part.strip())


def breaks(rule: VelocityRule, sightings: Iterable[Sighting]) -> Sequence[Sighting]:
    """The sightings with which the rule was broken: of each burst, the one that was too much.

    They depend on what was seen alone, not on when somebody looks or in what order it was heard.
    """
    found: list[Sighting] = []
    recent: list[Sighting] = []
    is_over = False
    for one in sorted(sightings):
        recent = [other for other in recent if one.at - other.at < rule.within]
        recent.append(one)
        counted = {other.value or other.id for other in recent}
        was_over, is_over = is_over, len(counted) > rule.more_than
        if is_over and not was_over:
            found.append(one)
    return found


def _rule(text: str) -> VelocityRule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(_EXPECTED)
    counts, more_than, number, unit, then = match.groups()
    within = timedelta(**{_UNITS[unit]: int(number)})
    if counts not in get_args(Counted) or then not in get_args(Consequence):
        raise ValueError(_EXPECTED)
    if not timedelta(0) < within <= MAX_WITHIN:
        raise ValueError(_EXPECTED)
    return msgspec.convert(
        {"counts": counts, "more_than": int(more_than), "within": within, "then": then},
        VelocityRule,
    )


_EXPECTED: Final = (
    "must be rules such as failed_payments>5/24h:freeze, cards>3/24h:freeze, top_ups>10/1h:signal, "
    "separated by commas, of at most 30d"
)
