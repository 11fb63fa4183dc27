"""Rows to store, valid and plain; each test changes what it is about."""

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from gatekeeper.catalog import TermGrant, TermLimit, Terms
from gatekeeper.entitlements.state import Item, PaidLine
from gatekeeper.ledger import Account, Change, GrantCredits, GrantKind, Reserve, apply
from gatekeeper.storage.metering import Usage, UsageWindow, WindowStatus
from gatekeeper.storage.outgoing import OutgoingRequest, RequestStatus
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import (
    Customer,
    InboxEvent,
    Invoice,
    OutboxMessage,
    Purchase,
    PurchaseStatus,
    Subscription,
)
from gatekeeper.types import UNLIMITED

NOW: Final = datetime(2026, 1, 31, 12, 30, 15, 123_457, tzinfo=UTC)
"""An instant with microseconds that no binary fraction of a second hits exactly."""

SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

LONG_ID: Final = "x" * 255
ODD_IDS: Final = (
    "a",
    "A",
    "a b",
    "a:b",
    "a%b_c",
    "a'b\"c\\d",
    "$1 :name ?",
    "; DROP TABLE gatekeeper_customers",
    "ü",
    "u\N{COMBINING DIAERESIS}",
    "客户",
    "💳" * 50,
    LONG_ID,
    "é" * 255,
)
"""Ids that are valid and unusual: no two of them are the same id, however much they look alike."""

TERMS: Final = Terms(
    plan="pro",
    plans=frozenset({"free", "pro"}),
    features=frozenset({"downloads"}),
    limits={"seats": TermLimit(value=5, per_quantity=2), "projects": TermLimit(value=UNLIMITED)},
    grants=(
        TermGrant(
            series="every:credits", unit="credits", plan="pro", amount=1_000, cadence="month"
        ),
    ),
)


def customer(customer_id: str = "ada", **fields: object) -> Customer:
    """A customer."""
    return replace(Customer(id=customer_id, created_at=NOW), **fields)


def subscription(subscription_id: str = "sub_1", **fields: object) -> Subscription:
    """An active subscription of Ada's."""
    plain = Subscription(
        id=subscription_id,
        customer="ada",
        status="active",
        started_at=NOW,
        anchor=NOW,
        updated_at=NOW,
    )
    return replace(plain, **fields)


def item(item_id: str = "si_1", of: Subscription | None = None, **fields: object) -> Item:
    """An item of a subscription, saying what the subscription says."""
    owner = of or subscription()
    plain = Item(
        id=item_id,
        subscription_id=owner.id,
        status=owner.status,
        price_id="price_1",
        quantity=3,
        terms=TERMS,
        started_at=owner.started_at,
        anchor=owner.anchor,
        period_start=NOW,
        period_end=NOW + 30 * DAY,
        trial_end=owner.trial_end,
        cancel_at=owner.cancel_at,
        ended_at=owner.ended_at,
        collection_paused=owner.collection_paused,
    )
    return replace(plain, **fields)


def paid_line(line_id: str = "il_1", **fields: object) -> PaidLine:
    """A paid month of the item `si_1`."""
    plain = PaidLine(
        id=line_id,
        item_id="si_1",
        invoice_id="in_1",
        start=NOW,
        end=NOW + 30 * DAY,
        quantity=3,
        terms=TERMS,
        amount_minor=999,
        currency="eur",
    )
    return replace(plain, **fields)


def invoice(invoice_id: str = "in_1", **fields: object) -> Invoice:
    """An open invoice of the subscription `sub_1`, with everything due."""
    plain = Invoice(
        id=invoice_id,
        customer="ada",
        subscription_id="sub_1",
        status="open",
        amount_due_minor=999,
        amount_paid_minor=0,
        currency="eur",
        created_at=NOW,
        finalized_at=NOW,
    )
    return replace(plain, **fields)


def purchase(purchase_id: str = "pur_1", **fields: object) -> Purchase:
    """A pending purchase of Ada's."""
    plain = Purchase(
        id=purchase_id,
        customer="ada",
        price_lookup_key="topup_100",
        quantity=1,
        mode="payment",
        status=PurchaseStatus.PENDING,
        created_at=NOW,
    )
    return replace(plain, **fields)


def event(key: str = "evt_1", about: str = "sub_1", age: int = 0, **fields: object) -> InboxEvent:
    """A pending event that is due; the greater `age` (seconds), the earlier it came."""
    plain = InboxEvent(
        key=key,
        event_id=key,
        type="customer.subscription.updated",
        account=None,
        livemode=False,
        api_version="2026-10-28.endive",
        object_type="subscription",
        object_id=about,
        object_key=f"subscription:{about}",
        created_at=NOW,
        received_at=NOW - age * SECOND,
        payload=b'{"id": "\xff not always UTF-8"}',
        due_at=NOW - age * SECOND,
    )
    return replace(plain, **fields)


def message(
    message_id: str = "msg_1", customer_id: str = "ada", age: int = 0, **fields: object
) -> OutboxMessage:
    """A message that is due; the greater `age` (seconds), the earlier it was written."""
    plain = OutboxMessage(
        id=message_id,
        customer=customer_id,
        topic="meter",
        body='{"value": 1}',
        created_at=NOW - age * SECOND,
        due_at=NOW - age * SECOND,
    )
    return replace(plain, **fields)


def usage(usage_id: str = "use_1", customer_id: str = "ada", **fields: object) -> Usage:
    """Two of a meter, used now."""
    plain = Usage(
        customer=customer_id, meter="overage", id=usage_id, quantity=2, at=NOW, received_at=NOW
    )
    return replace(plain, **fields)


def usage_window(
    window_id: str = "window", customer_id: str = "ada", **fields: object
) -> UsageWindow:
    """A pending window that is due."""
    plain = UsageWindow(
        customer=customer_id,
        meter="overage",
        id=window_id,
        start=NOW - HOUR,
        at=NOW - SECOND,
        quantity=4,
        identifier=f"{customer_id}/{window_id}",
        status=WindowStatus.PENDING,
        created_at=NOW,
        due_at=NOW,
    )
    return replace(plain, **fields)


def request(request_id: str = "req_1", **fields: object) -> OutgoingRequest:
    """An open request to Stripe."""
    plain = OutgoingRequest(
        id=request_id,
        operation="refunds create",
        path="/v1/refunds",
        idempotency_key="key-1",
        params='{"charge":"ch_1"}',
        status=RequestStatus.OPEN,
        attempts=1,
        created_at=NOW,
        due_at=NOW + HOUR,
        key_until=NOW + DAY,
    )
    return replace(plain, **fields)


def fund(
    tx: Transaction,
    amount: int,
    customer_id: str = "ada",
    unit: str = "credits",
    *,
    grant_id: str = "grant_1",
    source_key: str | None = None,
) -> Change:
    """Grant `amount` to an account and save it."""
    before = tx.ledger.account(customer_id, unit, lock=True)
    command = GrantCredits(grant_id, amount, GrantKind.TOP_UP, source_key=source_key)
    return _save(tx, before, apply(before, command, NOW))


def hold(
    tx: Transaction,
    hold_id: str = "hold_1",
    amount: int = 10,
    customer_id: str = "ada",
    unit: str = "credits",
    *,
    ttl: timedelta = HOUR,
    at: datetime = NOW,
) -> Change:
    """Reserve `amount` of an account and save it."""
    before = tx.ledger.account(customer_id, unit, lock=True)
    return _save(tx, before, apply(before, Reserve(hold_id, amount, at + ttl), at))


def _save(tx: Transaction, before: Account, change: Change) -> Change:
    tx.ledger.save(before, change)
    return change
