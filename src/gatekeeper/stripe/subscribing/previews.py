"""What a change would cost, as Stripe would bill it; nothing is changed by asking
(https://docs.stripe.com/api/invoices/create_preview)."""

from datetime import datetime
from typing import Any

from gatekeeper.errors import ConflictError, DiscountError, StripeRequestError
from gatekeeper.services.purchases import ELEMENTS
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Purchase, PurchaseStatus
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.open_checkouts import may_try, trial_days_of
from gatekeeper.stripe.subscribing.discounts import refused
from gatekeeper.stripe.subscribing.intents import Intent
from gatekeeper.stripe.subscribing.means import Means, moment
from gatekeeper.stripe.subscribing.starting import Asked
from gatekeeper.stripe.subscribing.values import Preview, PreviewLine, When


class Previews:
    """Asks what things would cost."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def of_start(self, customer: str, asked: Asked) -> Preview:
        """What a new subscription would cost, its trial included."""
        means = self._means
        await means.identities.ensure(customer)
        now, trial_days = await means.store.read(lambda tx: _trial(tx, means, customer, asked))
        details: dict[str, Any] = {"items": asked.items}
        params: dict[str, Any] = {"subscription_details": details}
        if asked.discount is not None:
            params["discounts"] = [asked.discount]

        async def ask(stripe_customer: str) -> Obj:
            return await self._asked({"customer": stripe_customer, **params})

        try:
            invoice = await means.with_customer(customer, ask)
        except StripeRequestError as error:
            if refused(error):
                raise DiscountError from error
            raise
        return _preview(invoice, "now", now, is_due=trial_days is None, trial_days=trial_days)

    async def of_change(self, customer: str, intent: Intent) -> Preview:
        """What a change would cost: now, with the rest of the period shared out; or at its end,
        and then it is the next period's invoice that is shown, as for what is not billed at once.
        """
        now = await self._means.store.read(_now)
        if intent.when == "period_end":
            asked = {"items": intent.items, "proration_behavior": "none"}
            invoice = await self._asked(
                {"subscription": intent.found["id"], "subscription_details": asked}
            )
            return _preview(invoice, "period_end", intent.period_end, is_due=False)
        at = (intent.as_of or now).replace(microsecond=0)
        details: dict[str, Any] = {
            "items": intent.items,
            "proration_behavior": "always_invoice" if intent.is_more else "create_prorations",
        }
        if intent.found["status"] != "trialing":
            details["proration_date"] = int(at.timestamp())
        invoice = await self._asked(
            {"subscription": intent.found["id"], "subscription_details": details}
        )
        return _preview(invoice, "now", at, is_due=intent.bills_now)

    async def _asked(self, params: dict[str, Any]) -> Obj:
        return await self._means.gateway.preview_invoice(params)


def _trial(
    tx: Transaction, means: Means, customer: str, asked: Asked
) -> tuple[datetime, int | None]:
    days = trial_days_of(asked.entry)
    wanted = Purchase(
        id="preview",
        customer=customer,
        price_lookup_key=asked.entry.price.lookup_key,
        quantity=asked.quantity,
        mode=ELEMENTS,
        status=PurchaseStatus.PENDING,
        created_at=tx.now(),
    )
    return tx.now(), days if days is not None and may_try(tx, means.rules, wanted) else None


def _preview(
    invoice: Obj, when: When, at: datetime, *, is_due: bool, trial_days: int | None = None
) -> Preview:
    if invoice.get("currency") is None:
        raise ConflictError("Stripe did not say what it would cost.")
    taxes = invoice.get("total_taxes") or []
    return Preview(
        when=when,
        at=at,
        currency=invoice["currency"],
        due_now_minor=(invoice.get("amount_due") or 0) if is_due else 0,
        subtotal_minor=invoice["subtotal"],
        discount_minor=sum(one["amount"] for one in invoice.get("total_discount_amounts") or []),
        tax_minor=sum(one["amount"] for one in taxes),
        total_minor=invoice["total"],
        lines=tuple(_line(one) for one in invoice["lines"]["data"]),
        trial_days=trial_days,
    )


def _line(line: Obj) -> PreviewLine:
    return PreviewLine(
        description=line.get("description"),
        amount_minor=line["amount"],
        quantity=line.get("quantity"),
        is_proration=_is_proration(line),
        start=moment(line["period"]["start"]),
        end=moment(line["period"]["end"]),
    )


def _is_proration(line: Obj) -> bool:
    """Since 2025-03-31 (basil) a line's parent says it."""
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return bool(details.get("proration", line.get("proration", False)))


def _now(tx: Transaction) -> datetime:
    return tx.now()
