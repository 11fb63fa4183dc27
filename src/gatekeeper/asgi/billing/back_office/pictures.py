"""One customer's whole picture, as it is answered."""

from datetime import datetime

import msgspec

from gatekeeper.asgi.billing.back_office.shared import ActionView, action_view, fact, facts_of
from gatekeeper.asgi.billing.views import like
from gatekeeper.services.back_office.pictures import Picture
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.records import Customer
from gatekeeper.types import Unlimited


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A customer.

    Attributes:
        stripe_customer: by which id Stripe knows them.
    """

    id: str
    email: str | None
    name: str | None
    stripe_customer: str | None
    created_at: datetime
    deleted_at: datetime | None


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account, in the unit's steps; null is without a bound."""

    unit: str
    available: int | None
    overage: int | None
    held: int
    debt: int


class GrantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as it was given; what is left of all is in the accounts."""

    id: str
    unit: str
    kind: str
    amount: int | None
    created_at: datetime
    expires_at: datetime | None
    actor: str | None
    reason: str | None


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """An open hold."""

    id: str
    unit: str
    amount: int
    captured: int
    created_at: datetime
    expires_at: datetime
    feature: str | None


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription.

    Attributes:
        plans: what its items entitle to, where that is known.
        cancel_at: when it ends if nothing else happens.
    """

    id: str
    status: str
    plans: list[str]
    started_at: datetime
    period_end: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None


class InvoiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice of Stripe's."""

    id: str
    number: str | None
    status: str | None
    total_minor: int | None
    currency: str | None
    created_at: datetime | None


class PurchaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout that was started here."""

    id: str
    price: str
    quantity: int
    status: str
    created_at: datetime
    settled_at: datetime | None
    duplicate_of: str | None


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order. Amounts are in minor units of `currency`."""

    id: str
    status: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    currency: str
    reference: str | None
    payment: str | None
    created_at: datetime
    paid_at: datetime | None


class TopUpRow(msgspec.Struct, frozen=True, kw_only=True):
    """An automatic top-up.

    Attributes:
        reason: what it is blocked by.
    """

    unit: str
    pack: str
    on: bool
    state: str
    reason: str | None
    spent_minor: int
    cap_minor: int
    currency: str


class FreezeRow(msgspec.Struct, frozen=True, kw_only=True):
    """Why a customer's credits are, or were, frozen.

    Attributes:
        actor: who has lifted it.
    """

    key: str
    reason: str
    since: datetime
    lifted_at: datetime | None
    actor: str | None


class OverrideRow(msgspec.Struct, frozen=True, kw_only=True):
    """An exception.

    Attributes:
        value: of a limit null is without a bound.
        effect: "in_force", or why it is not.
    """

    kind: str
    key: str
    value: bool | int | None
    effect: str
    expires_at: datetime | None
    reason: str | None
    actor: str | None


class CustomerPicture(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is of a customer; of what is many, the 50 newest.

    Attributes:
        limits: null is without a bound.
        explanation: how all of it comes about, line by line.
    """

    customer: CustomerRow
    plans: list[str]
    features: list[str]
    limits: dict[str, int | None]
    explanation: list[str]
    accounts: list[AccountRow]
    grants: list[GrantRow]
    holds: list[HoldRow]
    subscriptions: list[SubscriptionRow]
    invoices: list[InvoiceRow]
    purchases: list[PurchaseRow]
    orders: list[OrderRow]
    top_ups: list[TopUpRow]
    freezes: list[FreezeRow]
    overrides: list[OverrideRow]
    actions: list[ActionView]


def row(customer: Customer) -> CustomerRow:
    """A customer as they are answered."""
    return like(CustomerRow, customer, stripe_customer=customer.stripe_id)


def view_of(picture: Picture) -> CustomerPicture:
    """A picture as it is answered."""
    entitlements = picture.explanation.entitlements
    return CustomerPicture(
        customer=row(picture.customer),
        plans=sorted(entitlements.plans),
        features=sorted(entitlements.features),
        limits={key: _number(value) for key, value in sorted(entitlements.limits.items())},
        explanation=picture.explanation.lines(),
        accounts=[like(AccountRow, one) for one in picture.balances],
        grants=[like(GrantRow, one) for one in picture.grants],
        holds=[like(HoldRow, one) for one in picture.holds],
        subscriptions=[
            like(
                SubscriptionRow,
                one,
                plans=sorted({item.plan for item in one.items if item.plan is not None}),
            )
            for one in picture.subscriptions
        ],
        invoices=[_invoice(one) for one in picture.invoices],
        purchases=[like(PurchaseRow, one, price=one.price_lookup_key) for one in picture.purchases],
        orders=[like(OrderRow, one, payment=one.payment_id) for one in picture.orders],
        top_ups=[like(TopUpRow, one, on=one.is_on) for one in picture.top_ups],
        freezes=[like(FreezeRow, one) for one in picture.freezes],
        overrides=[
            like(OverrideRow, one, value=_number(one.value))
            for one in picture.explanation.overrides
        ],
        actions=[action_view(one) for one in picture.actions],
    )


def _invoice(copy: MirrorObject) -> InvoiceRow:
    facts = facts_of(copy.facts) or {}
    return InvoiceRow(
        id=copy.id,
        number=fact(facts, "number"),
        status=copy.status,
        total_minor=copy.amount_minor,
        currency=copy.currency,
        created_at=copy.created_at,
    )


def _number(value: bool | int | Unlimited) -> bool | int | None:
    return None if isinstance(value, Unlimited) else value
