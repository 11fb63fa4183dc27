"""The subscriptions of a customer as people see them, from what entitlements derive from. Pure."""

from collections.abc import Sequence
from datetime import datetime

from gatekeeper.entitlements import (
    TERMINAL,
    AccessPolicy,
    CustomerState,
    Entitlements,
    Item,
    access_of,
    has_ended,
)
from gatekeeper.services.rules import Rules
from gatekeeper.services.standing.values import Running


def running_subscriptions(
    state: CustomerState, policy: AccessPolicy, now: datetime
) -> tuple[Running, ...]:
    """The subscriptions that are not over, the newest first."""
    by_subscription: dict[str, list[Item]] = {}
    for item in sorted(state.items, key=lambda item: item.id):
        if not has_ended(item, now) and item.status not in TERMINAL:
            by_subscription.setdefault(item.subscription_id, []).append(item)
    found = [_running(items, policy, now) for items in by_subscription.values()]
    return tuple(found[::-1])


def _running(items: Sequence[Item], policy: AccessPolicy, now: datetime) -> Running:
    first = items[0]
    accesses = [access_of(item, policy, now) for item in items]
    ends = [item.cancel_at for item in items if item.cancel_at is not None]
    cancel_at = min(ends, default=None)
    period_end = max(item.period_end for item in items)
    renews = not first.collection_paused and (cancel_at is None or cancel_at > period_end)
    late = first.status == "past_due"
    return Running(
        id=first.subscription_id,
        status=first.status,
        plans=tuple(sorted({item.terms.plan for item in items if item.terms is not None})),
        quantity=first.quantity,
        has_access=any(access.allowed for access in accesses),
        renews_at=period_end if renews and first.status in ("active", "trialing") else None,
        cancel_at=cancel_at,
        trial_end=first.trial_end if first.status == "trialing" else None,
        grace_until=min((a.until for a in accesses if a.until), default=None) if late else None,
        collection_paused=first.collection_paused,
    )


def main_plan(
    entitlements: Entitlements, state: CustomerState, rules: Rules
) -> tuple[str, str | None]:
    """The plan that counts, and the status of the subscription that gives it: of the plans in
    force the one that includes most others; one that is paid for before one that is not."""
    statuses = {item.id: item.status for item in state.items}
    terms = {item.id: item.terms for item in state.items if item.terms is not None}

    def rank(source: tuple[str, str, str]) -> tuple[int, bool, str]:
        kind, id_, plan = source
        bought = terms.get(id_) or rules.terms_of.get(plan)
        return (0 if bought is None else len(bought.plans), kind == "item", plan)

    sources = [(source.kind, source.id, source.plan) for source in entitlements.sources]
    kind, id_, plan = max(sources, key=rank)
    return plan, statuses.get(id_) if kind == "item" else None
