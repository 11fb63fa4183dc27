"""From what is known of a customer to what they may use: a pure function, decided in one place."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from gatekeeper.catalog import TermLimit, Terms
from gatekeeper.entitlements.access import AccessPolicy, access_of
from gatekeeper.entitlements.amounts import add, size
from gatekeeper.entitlements.sources import (
    NO_TERMS,
    Contribution,
    SourceKind,
    contributions,
    in_force,
    limit_value,
    takes_away,
)
from gatekeeper.entitlements.state import CustomerState
from gatekeeper.types import Amount


class Source(msgspec.Struct, frozen=True):
    """One thing that entitles: the default plan, a subscription item, or a gift.

    `until` is the next moment at which it stops by itself.
    """

    kind: SourceKind
    id: str
    plan: str
    until: datetime | None = None


class Entitlements(msgspec.Struct, frozen=True, kw_only=True, tag="entitlements/1"):
    """What a customer may use at one moment, until `valid_until` or a newer `version`.

    Derived, never stored as truth. The tag names the form of the bytes in a shared cache: a release
    that changes the form changes the tag, and does not read the other's.

    Attributes:
        plans: the keys of every plan that is satisfied, included ones among them.
        limits: a limit that is not here is 0.
        evaluated_at: the `now` of the evaluation.
        valid_until: the earliest moment at which any of this changes by itself; None if there is
            none.
    """

    customer: str
    version: int
    plans: frozenset[str]
    features: frozenset[str]
    limits: Mapping[str, Amount]
    sources: tuple[Source, ...]
    evaluated_at: datetime
    valid_until: datetime | None = None

    def has_plan(self, key: str) -> bool:
        """Whether the plan, or one that includes it, is in force."""
        return key in self.plans

    def has_feature(self, key: str) -> bool:
        """Whether the feature is on."""
        return key in self.features

    def limit(self, key: str) -> Amount:
        """The limit's value; 0 if nothing gives any."""
        return self.limits.get(key, 0)


def evaluate(
    state: CustomerState,
    default_terms: Terms,
    policy: AccessPolicy,
    now: datetime,
    *,
    terms_of: Mapping[str, Terms] = NO_TERMS,
) -> Entitlements:
    """What the customer may use at `now`.

    All items of all subscriptions count, and the default plan's terms always do. Overrides come
    last: a feature that is switched off is off, whatever was bought.

    Args:
        terms_of: the catalogue's terms of each plan, for plans that are given as a gift. A gift of
            a plan that is not among them gives nothing.
    """
    sources = contributions(state, default_terms, policy, now, terms_of)
    features: set[str] = set()
    plans: set[str] = set()
    for source in sources:
        features |= source.terms.features
        plans |= source.terms.plans
    for override in in_force(state.overrides, "feature", now):
        if takes_away(override):
            features.discard(override.key)
        else:
            features.add(override.key)
    return Entitlements(
        customer=state.customer,
        version=state.version,
        plans=frozenset(plans),
        features=frozenset(features),
        limits=_limits(state, sources, default_terms, now),
        sources=tuple(Source(s.kind, s.id, s.terms.plan, s.until) for s in sources),
        evaluated_at=now,
        valid_until=next_change(state, policy, now),
    )


def next_change(state: CustomerState, policy: AccessPolicy, now: datetime) -> datetime | None:
    """The earliest moment after `now` at which an answer changes without any event."""
    ends = [access_of(item, policy, now).until for item in state.items]
    ends += [override.expires_at for override in state.overrides]
    return min((end for end in ends if end is not None and end > now), default=None)


def _limits(
    state: CustomerState,
    sources: Iterable[Contribution],
    default_terms: Terms,
    now: datetime,
) -> dict[str, Amount]:
    found: dict[str, list[tuple[Contribution, TermLimit]]] = {}
    for source in sources:
        for key, limit in source.terms.limits.items():
            found.setdefault(key, []).append((source, limit))
    limits = {key: _combined(given, default_terms.plan) for key, given in sorted(found.items())}
    for override in in_force(state.overrides, "limit", now):
        value = limit_value(override)
        if value is not None:
            limits[override.key] = value
    return limits


def _combined(given: list[tuple[Contribution, TermLimit]], default_plan: str) -> Amount:
    """One limit from all that the terms in force say of it.

    UNLIMITED is more than any number. Terms are snapshots, so that two may declare different ways
    to combine: then it is max. `min` is for limits of which less is better, so that it too gives
    the customer the best that they have.
    """
    ways = {limit.combine for _, limit in given}
    way = ways.pop() if len(ways) == 1 else "max"
    if way == "sum":
        return _sum(given, default_plan)
    pick = min if way == "min" else max
    return pick((limit.of(source.quantity) for source, limit in given), key=size)


def _sum(given: list[tuple[Contribution, TermLimit]], default_plan: str) -> Amount:
    """The sum over the sources, in which the default plan's part counts once.

    A plan that includes the default plan has its limit already, inherited or replaced: with free 1
    and pro (which includes free) 5, a customer of pro has 5, not 6.
    """
    base: list[Amount] = []
    total: Amount = 0
    inclusive: Amount = 0
    for source, limit in given:
        value = limit.of(source.quantity)
        if source.kind == "default":
            base.append(value)
        elif default_plan in source.terms.plans:
            inclusive = add(inclusive, value)
        else:
            total = add(total, value)
    return add(total, max((*base, inclusive), key=size))


_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")
_DECODER: Final = msgspec.msgpack.Decoder(Entitlements)


def encode_entitlements(entitlements: Entitlements) -> bytes:
    """The form for a shared cache: the same bytes for equal entitlements."""
    return _ENCODER.encode(entitlements)


def decode_entitlements(data: bytes) -> Entitlements:
    """Entitlements from a shared cache.

    Raises:
        msgspec.MsgspecError: another release wrote them, or they are none at all.
    """
    return _DECODER.decode(data)


class EntitlementsCodec:
    """The two functions above, as the cache's port wants them."""

    def encode(self, value: Entitlements) -> bytes:
        """See `encode_entitlements`."""
        return encode_entitlements(value)

    def decode(self, data: bytes) -> Entitlements:
        """See `decode_entitlements`."""
        return decode_entitlements(data)
