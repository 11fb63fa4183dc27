"""A bank before its first day: the host's table, and customers who have subscribed."""

from datetime import timedelta
from typing import Final

from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer, Subscription
from gatekeeper.storage.sql.store import store_for
from gatekeeper.types import utc_now
from tests.bank.reading import TABLES, execute
from tests.bank.shop import CATALOG, COLD, HOT

SUBSCRIBERS: Final = (*HOT, *COLD[:100])
"""Their tokens go on beyond what is granted, and are billed."""


async def open_bank(url: str) -> None:
    """Prepare a database that has our tables."""
    await execute(url, "DROP TABLE IF EXISTS bank_rows", TABLES)
    async with store_for(url) as store:
        await store.write(_subscribe_all)


def _subscribe_all(tx: Transaction) -> None:
    terms, now = CATALOG.terms("pro"), utc_now()
    start, end = now - timedelta(days=1), now + timedelta(days=29)
    for customer in SUBSCRIBERS:
        tx.customers.insert(Customer(id=customer, created_at=start))
        subscription = Subscription(
            id=f"sub_{customer}",
            customer=customer,
            status="active",
            started_at=start,
            anchor=start,
            updated_at=start,
        )
        item = Item(
            id=f"si_{customer}",
            subscription_id=subscription.id,
            status="active",
            price_id="price_pro",
            quantity=1,
            terms=terms,
            started_at=start,
            anchor=start,
            period_start=start,
            period_end=end,
        )
        line = PaidLine(
            id=f"il_{customer}",
            item_id=item.id,
            invoice_id=f"in_{customer}",
            start=start,
            end=end,
            quantity=1,
            terms=terms,
            amount_minor=999,
            currency="eur",
        )
        tx.subscriptions.save(subscription, [item])
        tx.subscriptions.add_paid_lines(customer, [line])
