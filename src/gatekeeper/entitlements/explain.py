"""The whole path of a decision: why `evaluate` answers what it does."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from gatekeeper.catalog import Terms
from gatekeeper.entitlements.access import AccessPolicy, access_of
from gatekeeper.entitlements.coverage import Coverage
from gatekeeper.entitlements.evaluate import Entitlements, evaluate
from gatekeeper.entitlements.explanation import (
    Explanation,
    ItemStory,
    LimitStory,
    OverrideEffect,
    OverrideStory,
    Turn,
)
from gatekeeper.entitlements.sources import (
    NO_TERMS,
    Contribution,
    caution,
    contributions,
    in_force,
    limit_value,
    takes_away,
)
from gatekeeper.entitlements.state import CustomerState, Item, Override


def explain(
    state: CustomerState,
    default_terms: Terms,
    policy: AccessPolicy,
    now: datetime,
    *,
    terms_of: Mapping[str, Terms] = NO_TERMS,
) -> Explanation:
    """Everything that leads to the answer of `evaluate` for the same arguments."""
    entitlements = evaluate(state, default_terms, policy, now, terms_of=terms_of)
    sources = contributions(state, default_terms, policy, now, terms_of)
    forced = in_force(state.overrides, "feature", now)
    off = frozenset(override.key for override in forced if takes_away(override))
    features = _givers(sources, lambda terms: terms.features)
    for override in forced:
        features[override.key] = (*features.get(override.key, ()), "override")
    items = tuple(
        _item_story(item, policy, now) for item in sorted(state.items, key=lambda item: item.id)
    )
    overrides = tuple(_override_stories(state, terms_of, now))
    return Explanation(
        entitlements=entitlements,
        items=items,
        overrides=overrides,
        plans=_givers(sources, lambda terms: terms.plans),
        features={key: features[key] for key in sorted(features) if key not in off},
        switched_off=tuple(sorted(off)),
        limits=_limit_stories(state, sources, entitlements, now),
        turns=tuple(sorted(_turns(state, items, now), key=lambda turn: (turn.at, turn.what))),
    )


def _givers(
    sources: Iterable[Contribution], keys_of: Callable[[Terms], Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """For each key, the names of the sources that give it."""
    found: dict[str, tuple[str, ...]] = {}
    for source in sources:
        for key in keys_of(source.terms):
            found[key] = (*found.get(key, ()), source.name)
    return dict(sorted(found.items()))


def _item_story(item: Item, policy: AccessPolicy, now: datetime) -> ItemStory:
    access = access_of(item, policy, now)
    return ItemStory(
        id=item.id,
        subscription_id=item.subscription_id,
        price_id=item.price_id,
        plan=None if item.terms is None else item.terms.plan,
        quantity=item.quantity,
        status=item.status,
        allowed=access.allowed,
        reason=access.reason,
        until=access.until,
        paid_until=Coverage(item).paid_until(now),
    )


def _override_stories(
    state: CustomerState, terms_of: Mapping[str, Terms], now: datetime
) -> Iterator[OverrideStory]:
    counting = [
        override
        for kind in ("feature", "limit", "plan")
        for override in in_force(state.overrides, kind, now)
    ]
    yield from (
        OverrideStory(
            kind=override.kind,
            key=override.key,
            value=override.value,
            effect=_effect(override, counting, terms_of, now),
            expires_at=override.expires_at,
            reason=override.reason,
            actor=override.actor,
        )
        for override in sorted(state.overrides, key=lambda o: (o.kind, caution(o)))
    )


def _effect(
    override: Override, counting: list[Override], terms_of: Mapping[str, Terms], now: datetime
) -> OverrideEffect:
    if override.expires_at is not None and override.expires_at <= now:
        return "expired"
    if override not in counting:
        return "superseded"
    if override.kind == "limit" and limit_value(override) is None:
        return "not_a_number"
    if override.kind == "plan" and takes_away(override):
        return "not_a_gift"
    if override.kind == "plan" and override.key not in terms_of:
        return "not_in_catalogue"
    return "in_force"


def _limit_stories(
    state: CustomerState,
    sources: Iterable[Contribution],
    entitlements: Entitlements,
    now: datetime,
) -> dict[str, LimitStory]:
    forced = {
        override.key
        for override in in_force(state.overrides, "limit", now)
        if limit_value(override) is not None
    }
    return {
        key: LimitStory(
            value=value,
            given=tuple(
                (source.name, source.terms.limits[key].of(source.quantity))
                for source in sources
                if key in source.terms.limits
            ),
            overridden=key in forced,
        )
        for key, value in sorted(entitlements.limits.items())
    }


def _turns(state: CustomerState, items: Iterable[ItemStory], now: datetime) -> Iterator[Turn]:
    for item in items:
        if item.until is not None:
            what = "ends" if item.allowed else "begins"
            yield Turn(item.until, f"the access of item {item.id} {what}")
    for override in state.overrides:
        if override.expires_at is not None and override.expires_at > now:
            yield Turn(
                override.expires_at, f"the override of {override.kind} {override.key} expires"
            )
