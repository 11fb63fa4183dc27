"""What can be refunded: the charge behind a payment, an invoice, an order or a purchase, and what
is left of it."""

from typing import Any

import msgspec

from gatekeeper.errors import ConflictError, InvalidInputError, NotFoundError
from gatekeeper.projection.clawback import REFUND_GONE, ChargeMoney, project_charge_money
from gatekeeper.services import sales
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.refunds import AskedStatus
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.types import check_id

MARK = "gatekeeper_refund"
"""Of a refund's metadata: the id of what was asked for here."""


class Of(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be refunded; exactly one is given.

    Attributes:
        payment: a payment intent ("pi_...") or a charge ("ch_...", "py_...").
        invoice: one of Stripe's ("in_...").
        order: one of ours.
        purchase: a checkout of ours.

    Raises:
        InvalidInputError: not exactly one is given.
        InvalidIdError: it can't be an id.
    """

    payment: str | None = None
    invoice: str | None = None
    order: str | None = None
    purchase: str | None = None

    def __post_init__(self) -> None:
        given = [one for one in msgspec.structs.astuple(self) if one is not None]
        if len(given) != 1:
            raise InvalidInputError("Name one payment, invoice, order or purchase to refund.")
        check_id(given[0], "refunded")


class Refundable(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that was fetched just now.

    Attributes:
        marks: by our ids, the refunds among `money.refunds` that were asked for here.
        customer: the host's, as far as orders and purchases tell.
        shares: what else is sent with a refund of it.
    """

    money: ChargeMoney
    marks: frozenset[str]
    customer: str | None
    shares: dict[str, Any]


async def look(gateway: StripeGateway, store: Store, of: Of) -> Refundable:
    """Find the charge, and what was taken off it.

    Raises:
        NotFoundError: there is no such payment, or nothing of it was ever paid.
        ConflictError: an invoice was paid by several payments.
        StripeUnavailableError, StripeRequestError.
    """
    payment, customer = await _payment(gateway, store, of)
    charge = await _charge(gateway, payment)
    only = {"charge": charge["id"]}
    what = f"charge {charge['id']}"
    refunds = await gateway.listed("/v1/refunds", only, what=what)
    disputes = []
    if charge.get("disputed"):
        disputes = await gateway.listed("/v1/disputes", only, what=what)
    marks = ((one.get("metadata") or {}).get(MARK) for one in refunds)
    return Refundable(
        money=project_charge_money(charge, refunds, disputes),
        marks=frozenset(one for one in marks if one),
        customer=customer,
        shares=await _shares(store, charge),
    )


async def _shares(store: Store, charge: Obj) -> dict[str, Any]:
    """As `shares_of`; nothing, where the seller's part comes back by paybacks alone."""
    shares = shares_of(charge)
    if not shares:
        return shares

    def read(tx: Transaction) -> bool:
        payment = tx.orders.payment(str(charge.get("payment_intent")))
        return payment is not None and sales.gets_again(tx.paybacks.of_order(payment.order_id))

    return {} if await store.read(read) else shares


def left_minor(tx: Transaction, found: Refundable) -> int:
    """What of a charge may still be refunded; its payment is locked.

    What was asked for here and is not among what was fetched counts as given, unless it came to
    nothing: it is under way, or was made since.
    """
    under_way = 0
    seen = {one.id for one in found.money.refunds}
    for one in tx.refunds.of_payment(found.money.payment_id):
        if one.status is AskedStatus.REFUSED or one.id in found.marks or one.refund_id in seen:
            continue
        made = None if one.refund_id is None else tx.mirror.get("refund", one.refund_id)
        if made is None or made.status not in REFUND_GONE:
            under_way += one.amount_minor
    return max(0, found.money.amount_minor - found.money.returned_minor - under_way)


def shares_of(charge: Obj) -> dict[str, Any]:
    """What a refund of a charge says of the others who had a part of it: of a destination charge
    the seller gives back their part, and we our commission, each in proportion
    (https://docs.stripe.com/connect/destination-charges#issue-refunds)."""
    shares: dict[str, Any] = {}
    if charge.get("transfer_data"):
        shares["reverse_transfer"] = True
        if charge.get("application_fee"):
            shares["refund_application_fee"] = True
    return shares


async def _payment(gateway: StripeGateway, store: Store, of: Of) -> tuple[str, str | None]:
    """The payment intent or charge, and whose it is if that is ours to tell."""
    if of.payment is not None:
        return of.payment, None
    if of.invoice is not None:
        return await _of_invoice(gateway, of.invoice), None
    return await store.read(lambda tx: _of_ours(tx, of))


def _of_ours(tx: Transaction, of: Of) -> tuple[str, str]:
    if of.order is not None:
        order = tx.orders.get(of.order)
        if order is None or order.payment_id is None:
            raise NotFoundError(f"There is no order {of.order!r} that was paid.")
        return order.payment_id, order.customer
    purchase = tx.purchases.get(str(of.purchase))
    if purchase is None or purchase.payment_intent_id is None:
        raise NotFoundError(
            f"There is no purchase {of.purchase!r} with a payment of its own: what a subscription "
            "has cost, its invoices tell."
        )
    return purchase.payment_intent_id, purchase.customer


async def _of_invoice(gateway: StripeGateway, invoice: str) -> str:
    """The payment of an invoice: since 2025-03-31 (basil) there may be several
    (https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices)."""
    if await gateway.fetch("invoice", invoice) is None:
        raise NotFoundError(f"Stripe has no invoice {invoice!r}.")
    paid = await gateway.listed(
        "/v1/invoice_payments",
        {"invoice": invoice, "status": "paid"},
        what=f"invoice {invoice}",
    )
    named = [one["payment"].get("payment_intent") or one["payment"].get("charge") for one in paid]
    payments = sorted({str(one) for one in named if one})
    if not payments:
        raise NotFoundError(f"Invoice {invoice!r} has no payment that can be refunded.")
    if len(payments) > 1:
        raise ConflictError(
            f"Invoice {invoice!r} was paid by {len(payments)} payments: refund them one by one.",
            payments=payments,
        )
    return payments[0]


async def _charge(gateway: StripeGateway, payment: str) -> Obj:
    charge_id: str | None = payment
    if payment.startswith("pi_"):
        intent = await gateway.fetch("payment_intent", payment)
        named = None if intent is None else intent.get("latest_charge")
        charge_id = named["id"] if isinstance(named, dict) else named
    charge = None if charge_id is None else await gateway.fetch("charge", charge_id)
    if charge is None or charge.get("status") == "failed":
        raise NotFoundError(f"There is no payment {payment!r} that was paid.")
    return charge
