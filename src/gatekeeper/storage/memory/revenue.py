"""What is earned, in memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from gatekeeper.entitlements.state import Item
from gatekeeper.projection.clawback import DISPUTE_TAKES, REFUND_GONE
from gatekeeper.storage.memory.ledger import LedgerTables
from gatekeeper.storage.memory.mirror import MemoryMirror
from gatekeeper.storage.memory.orders import MemoryOrders
from gatekeeper.storage.memory.purchases import MemoryPurchases
from gatekeeper.storage.memory.subscriptions import MemorySubscriptions
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.records import PurchaseStatus
from gatekeeper.storage.revenue import MOVED, PAYING, Money, Movement, Revenue, Sold, Span


class MemoryRevenue(Revenue):
    """See the port."""

    def __init__(
        self,
        ledger: LedgerTables,
        subscriptions: MemorySubscriptions,
        mirror: MemoryMirror,
        purchases: MemoryPurchases,
        orders: MemoryOrders,
    ) -> None:
        self._ledger = ledger
        self._subscriptions = subscriptions
        self._mirror = mirror
        self._purchases = purchases
        self._orders = orders

    def sold(self, at: datetime, grace: timedelta) -> Sequence[Sold]:
        by_price: dict[str, list[Item]] = {}
        for _, item in self._running(at, grace):
            by_price.setdefault(item.price_id, []).append(item)
        found = []
        for price_id, held in sorted(by_price.items()):
            price = self._subscriptions.price(price_id)
            found.append(
                Sold(
                    price_id=price_id,
                    lookup_key=None if price is None else price.lookup_key,
                    plan=None if price is None else price.plan,
                    quantity=sum(item.quantity for item in held),
                    subscriptions=len({item.subscription_id for item in held}),
                )
            )
        return found

    def running(self, at: datetime, grace: timedelta) -> tuple[int, int, Mapping[str, int]]:
        running = list(self._running(at, grace))
        plans: dict[str, set[str]] = {}
        for _, item in running:
            price = self._subscriptions.price(item.price_id)
            plan = (None if price is None else price.plan) or ""
            plans.setdefault(plan, set()).add(item.subscription_id)
        return (
            len({item.subscription_id for _, item in running}),
            len({customer for customer, _ in running}),
            {plan: len(ids) for plan, ids in sorted(plans.items())},
        )

    def statuses(self) -> Mapping[str, int]:
        found = (one.status for one in self._subscriptions.originals())
        return dict(sorted(Counter(found).items()))

    def movement(self, span: Span) -> Movement:
        found: Counter[str] = Counter()
        for one in self._subscriptions.originals():
            changes = [c for c in self._mirror.changes(one.id, 0, 10**9) if c.at < span.until]
            before = [change for change in changes if change.at < span.since]
            paid_at = min((c.at for c in changes if c.status in PAYING), default=None)
            was = bool(before) and before[-1].status in PAYING
            is_now = bool(changes) and changes[-1].status in PAYING
            is_new = paid_at is not None and paid_at >= span.since
            found["at_start"] += was
            found["at_end"] += is_now
            found["new"] += is_new
            found["new_lost"] += is_new and not is_now
            found["lost"] += was and not is_now
            found["returned"] += is_now and not was and not is_new
        return Movement(**{name: found[name] for name in Movement.__struct_fields__})

    def granted(self, span: Span) -> Mapping[tuple[str, str], int]:
        return _sums(
            (one.unit, str(one.kind), one.amount)
            for one in self._ledger.grants.values()
            if span.has(one.created_at) and one.amount is not None
        )

    def posted(self, span: Span) -> Mapping[tuple[str, str], int]:
        return _sums(
            (one.unit, str(one.kind), one.posted_delta)
            for one in self._ledger.entries.values()
            if span.has(one.at)
        )

    def invoiced(self, span: Span) -> Sequence[Money]:
        return _monies(
            (one.currency, one.amount_paid_minor)
            for one in self._subscriptions.invoices()
            if span.has(one.paid_at) and one.amount_paid_minor > 0
        )

    def purchased(self, span: Span) -> tuple[Sequence[Money], int]:
        paid = [
            self._mirror.get("payment_intent", one.payment_intent_id or "")
            for one in self._purchases.every()
            if one.mode == "payment"
            and one.status is PurchaseStatus.PAID
            and span.has(one.settled_at)
        ]
        known = [one for one in paid if one is not None]
        return _of_copies(known), len(paid) - len(known)

    def ordered(self, span: Span) -> Sequence[Money]:
        return _monies(
            (one.currency, one.captured_minor)
            for one in self._orders.every()
            if span.has(one.paid_at)
        )

    def refunded(self, span: Span) -> Sequence[Money]:
        return _of_copies(
            one
            for one in self._mirror.every("refund")
            if span.has(one.created_at)
            and one.status is not None
            and one.status not in REFUND_GONE
            and (one.status != "succeeded" or MOVED in one.facts)
        )

    def disputed(self, span: Span) -> Sequence[Money]:
        return _of_copies(
            one
            for one in self._mirror.every("dispute")
            if span.has(one.created_at) and one.status in DISPUTE_TAKES
        )

    def _running(self, at: datetime, grace: timedelta) -> Iterator[tuple[str, Item]]:
        for subscription in self._subscriptions.originals():
            for item in self._subscriptions.items(subscription.id):
                late_since = item.unpaid_since or item.period_start
                if (
                    item.status in PAYING
                    and (item.status != "past_due" or late_since > at - grace)
                    and (item.ended_at is None or item.ended_at > at)
                    and (item.cancel_at is None or item.cancel_at > at)
                    and item.started_at <= at
                    and not item.collection_paused
                ):
                    yield subscription.customer, item


def _sums(found: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    sums: Counter[tuple[str, str]] = Counter()
    kinds = set()
    for unit, kind, amount in found:
        sums[unit, kind] += amount
        kinds.add((unit, kind))
    return {key: sums[key] for key in kinds}


def _monies(found: Iterable[tuple[str, int]]) -> list[Money]:
    by_currency: dict[str, list[int]] = {}
    for currency, amount in found:
        by_currency.setdefault(currency, []).append(amount)
    return [
        Money(currency=currency, count=len(amounts), amount_minor=sum(amounts))
        for currency, amounts in sorted(by_currency.items())
    ]


def _of_copies(copies: Iterable[MirrorObject]) -> list[Money]:
    return _monies((one.currency or "", one.amount_minor or 0) for one in copies)
