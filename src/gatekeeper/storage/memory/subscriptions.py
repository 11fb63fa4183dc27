"""Subscriptions with their items, paid lines, invoices and prices, in memory."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from msgspec.structs import replace

from gatekeeper.entitlements import TERMINAL
from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.port import Subscriptions
from gatekeeper.storage.records import Invoice, PriceRecord, Subscription

V = TypeVar("V")

_LAST = datetime.max.replace(tzinfo=UTC)


class MemorySubscriptions(Subscriptions):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._subscriptions: Table[str, Subscription] = Table(journal)
        self._of_customer: Table[str, tuple[str, ...]] = Table(journal)
        self._items: Table[str, tuple[Item, ...]] = Table(journal)
        self._unpaid_since: Table[str, datetime] = Table(journal)
        self._duplicate_of: Table[str, str] = Table(journal)
        self._line_ids: Table[tuple[str, str], None] = Table(journal)
        self._lines: Table[tuple[str, str], tuple[PaidLine, ...]] = Table(journal)
        self._invoices: Table[str, Invoice] = Table(journal)
        self._invoices_of: Table[str, tuple[str, ...]] = Table(journal)
        self._prices: Table[str, PriceRecord] = Table(journal)

    def get(self, subscription_id: str) -> Subscription | None:
        return self._subscriptions.get(subscription_id)

    def running_after(self, subscription_id: str, limit: int) -> Sequence[Subscription]:
        found = (
            one
            for one in self._subscriptions.values()
            if one.id > subscription_id and one.status not in TERMINAL
        )
        return tuple(sorted(found, key=lambda one: one.id)[:limit])

    def items(self, subscription_id: str) -> Sequence[Item]:
        subscription = self._subscriptions.get(subscription_id)
        if subscription is None:
            return ()
        unpaid_since = self._unpaid_since.get(subscription_id)
        return tuple(
            replace(
                item,
                unpaid_since=unpaid_since,
                duplicate_of=self._duplicate_of.get(subscription_id),
                paid_lines=self._lines.get((subscription.customer, item.id)) or (),
            )
            for item in self._items.get(subscription_id) or ()
        )

    def items_of(self, customer: str) -> tuple[Item, ...]:
        """The items of all subscriptions of a customer."""
        found = (
            item for each in self._of_customer.get(customer) or () for item in self.items(each)
        )
        return tuple(sorted(found, key=lambda item: item.id))

    def save(self, subscription: Subscription, items: Sequence[Item]) -> None:
        self._subscriptions.put(subscription.id, subscription)
        _append(self._of_customer, subscription.customer, subscription.id)
        kept = {item.id: item for item in items}
        gone_at = subscription.ended_at or subscription.updated_at
        for stored in self._items.get(subscription.id) or ():
            if stored.id not in kept:
                kept[stored.id] = replace(stored, ended_at=stored.ended_at or gone_at)
        ordered = sorted(kept.values(), key=lambda item: item.id)
        self._items.put(subscription.id, tuple(ordered))

    def set_unpaid_since(self, subscription_id: str, since: datetime | None) -> None:
        if since is None:
            self._unpaid_since.delete(subscription_id)
        elif subscription_id in self._subscriptions:
            self._unpaid_since.put(subscription_id, since)

    def set_duplicate_of(self, subscription_id: str, original_id: str) -> None:
        if subscription_id in self._subscriptions:
            self._duplicate_of.put(subscription_id, original_id)

    def add_paid_lines(self, customer: str, lines: Iterable[PaidLine]) -> int:
        added = 0
        for line in lines:
            if self._line_ids.insert((customer, line.id), None):
                key = (customer, line.item_id)
                stored = self._lines.get(key) or ()
                ordered = sorted((*stored, line), key=lambda one: (one.start, one.id))
                self._lines.put(key, tuple(ordered))
                added += 1
        return added

    def note_returned(
        self, customer: str, invoice_id: str, *, paid_minor: int, returned_minor: int
    ) -> bool:
        changed = False
        for (owner, item_id), lines in self._lines.items():
            noted = tuple(
                replace(line, paid_minor=paid_minor, returned_minor=returned_minor)
                if line.invoice_id == invoice_id
                else line
                for line in lines
            )
            if owner == customer and noted != lines:
                self._lines.put((owner, item_id), noted)
                changed = True
        return changed

    def invoice(self, invoice_id: str) -> Invoice | None:
        return self._invoices.get(invoice_id)

    def save_invoice(self, invoice: Invoice) -> None:
        self._invoices.put(invoice.id, invoice)
        if invoice.subscription_id is not None:
            _append(self._invoices_of, invoice.subscription_id, invoice.id)

    def oldest_unpaid(self, subscription_id: str) -> Invoice | None:
        stored = map(self._invoices.get, self._invoices_of.get(subscription_id) or ())
        unpaid = (one for one in stored if one and one.status == "open" and one.amount_due_minor)
        return min(unpaid, key=lambda one: (one.finalized_at or _LAST, one.id), default=None)

    def price(self, price_id: str) -> PriceRecord | None:
        return self._prices.get(price_id)

    def record_price(self, price: PriceRecord) -> PriceRecord:
        self._prices.insert(price.price_id, price)
        return self._prices.get(price.price_id) or price

    def running(self, customer: str) -> tuple[str, ...]:
        """The subscriptions of a customer that are not over."""
        own = (one for one in self._subscriptions.values() if one.customer == customer)
        return tuple(sorted(one.id for one in own if one.status not in TERMINAL))

    def originals(self) -> Iterator[Subscription]:
        """Everybody's subscriptions, but for those that were bought beside another by mistake."""
        return (one for one in self._subscriptions.values() if one.id not in self._duplicate_of)

    def invoices(self) -> Sequence[Invoice]:
        """Everybody's invoices."""
        return self._invoices.values()

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer."""
        for one in self._subscriptions.values():
            if one.customer == customer:
                self._subscriptions.put(one.id, replace(one, customer=pseudonym))
        for invoice in self._invoices.values():
            if invoice.customer == customer:
                self._invoices.put(invoice.id, replace(invoice, customer=pseudonym))
        _rename(self._line_ids, customer, pseudonym)
        _rename(self._lines, customer, pseudonym)
        owned = self._of_customer.get(customer)
        if owned is not None:
            self._of_customer.delete(customer)
            self._of_customer.put(pseudonym, owned)


def _rename(table: Table[tuple[str, str], V], customer: str, pseudonym: str) -> None:
    for (owner, rest), value in table.items():
        if owner == customer:
            table.delete((owner, rest))
            table.put((pseudonym, rest), value)


def _append(table: Table[str, tuple[str, ...]], key: str, value: str) -> None:
    stored = table.get(key) or ()
    if value not in stored:
        table.put(key, (*stored, value))
