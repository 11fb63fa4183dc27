"""An explanation as plain data, and as lines that people read."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from gatekeeper.entitlements.evaluate import Entitlements
from gatekeeper.types import Amount

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "active": "the subscription is active",
        "trialing": "the subscription is in its trial",
        "past_due": "a payment is late, and the grace is not over",
        "past_due_grace_over": "a payment is late, and the grace is over",
        "unpaid": "Stripe has given up collecting the payment",
        "incomplete": "the first payment has not succeeded, so nothing was bought",
        "incomplete_expired": "the first payment never succeeded",
        "canceled": "the subscription was canceled",
        "paused": "the subscription is paused",
        "collection_paused": "collection is paused, and the policy denies access then",
        "cancel_at_reached": "the moment of its cancellation has come",
        "not_started": "it has not started yet",
        "ended": "the item is no longer part of the subscription",
        "unknown_status": "this release does not know Stripe's status",
    }
)
"""What each reason of `access_of` means."""

OverrideEffect = Literal[
    "in_force", "expired", "superseded", "not_a_number", "not_a_gift", "not_in_catalogue"
]
"""Whether an override has an effect, or why it has none: another of its kind and key counts, a
limit's value is no number, a plan can't be taken away by an override, or there is no such plan."""


class ItemStory(msgspec.Struct, frozen=True, kw_only=True):
    """What one subscription item allows, and why.

    `until` is when that changes by itself, `paid_until` the end of what is paid for without a gap
    (None: not even now).
    """

    id: str
    subscription_id: str
    price_id: str
    plan: str | None
    quantity: int
    status: str
    allowed: bool
    reason: str
    until: datetime | None
    paid_until: datetime | None


class OverrideStory(msgspec.Struct, frozen=True, kw_only=True):
    """One exception that was made for the customer, and its effect."""

    kind: str
    key: str
    value: bool | Amount
    effect: OverrideEffect
    expires_at: datetime | None
    reason: str | None
    actor: str | None


class LimitStory(msgspec.Struct, frozen=True, kw_only=True):
    """A limit's value, and what each source says it is."""

    value: Amount
    given: tuple[tuple[str, Amount], ...]
    overridden: bool


class Turn(msgspec.Struct, frozen=True):
    """Something that will change by itself, and when."""

    at: datetime
    what: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that led to `entitlements`.

    Attributes:
        plans, features: for each key that the customer has, the sources that give it.
        switched_off: features that an override takes away, whatever was bought.
        turns: what will change by itself, the next first.
    """

    entitlements: Entitlements
    items: tuple[ItemStory, ...]
    overrides: tuple[OverrideStory, ...]
    plans: Mapping[str, tuple[str, ...]]
    features: Mapping[str, tuple[str, ...]]
    switched_off: tuple[str, ...]
    limits: Mapping[str, LimitStory]
    turns: tuple[Turn, ...]

    def lines(self) -> list[str]:
        """The explanation as text, line by line."""
        known = self.entitlements
        lines = [
            f"customer {known.customer}, version {known.version}, at {_moment(known.evaluated_at)}"
        ]
        for title, found in (
            ("items", map(_item_line, self.items)),
            ("overrides", map(_override_line, self.overrides)),
            ("plans", _given_lines(self.plans)),
            ("features", self._feature_lines()),
            ("limits", (_limit_line(key, limit) for key, limit in self.limits.items())),
            ("changes to come", (f"{_moment(turn.at)}: {turn.what}" for turn in self.turns)),
        ):
            lines.append(f"{title}:")
            lines += [f"  {line}" for line in found] or ["  none"]
        return lines

    def _feature_lines(self) -> Iterator[str]:
        yield from _given_lines(self.features)
        for key in self.switched_off:
            yield f"{key}: no, an override switches it off"


def _item_line(item: ItemStory) -> str:
    plan = "no plan of the catalogue" if item.plan is None else f"plan {item.plan}"
    until = "" if item.until is None else f" until {_moment(item.until)}"
    paid = "not paid" if item.paid_until is None else f"paid until {_moment(item.paid_until)}"
    return (
        f"{item.id} of {item.subscription_id}: {item.quantity} x {plan} ({item.price_id}): "
        f"{'yes' if item.allowed else 'no'}{until}, {REASONS[item.reason]} "
        f"(status {item.status}); {paid}"
    )


def _override_line(override: OverrideStory) -> str:
    until = "" if override.expires_at is None else f" until {_moment(override.expires_at)}"
    actor = "" if override.actor is None else f", by {override.actor}"
    reason = "" if override.reason is None else f", because {override.reason!r}"
    effect = override.effect.replace("_", " ")
    value = _shown(override.value)
    return f"{override.kind} {override.key} = {value}{until}: {effect}{actor}{reason}"


def _limit_line(key: str, limit: LimitStory) -> str:
    given = ", ".join(f"{_shown(value)} by {source}" for source, value in limit.given)
    how = f" (an override; otherwise {given or 'nothing'})" if limit.overridden else f" ({given})"
    return f"{key}: {_shown(limit.value)}{how}"


def _given_lines(given: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for key, sources in given.items():
        yield f"{key}: by {', '.join(sources)}"


def _shown(value: bool | Amount) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if isinstance(value, int) else "unlimited"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
