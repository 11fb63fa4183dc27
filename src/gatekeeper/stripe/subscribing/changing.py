"""Changes of the plan, of its period and of the quantity.

More is had and paid at once: the difference is invoiced, and the change is made if that is paid
(`pending_if_incomplete`, https://docs.stripe.com/billing/subscriptions/pending-updates); a payment
that wants a person's confirmation leaves it waiting for 23 hours. Less is had with the next period.
"""

from typing import Any, Final

from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.subscribing.intents import Intent
from gatekeeper.stripe.subscribing.means import Means, secret_of
from gatekeeper.stripe.subscribing.schedules import Schedules
from gatekeeper.stripe.subscribing.values import Changed

OPERATION: Final = "subscription changes"

_DEBITS: Final = frozenset(
    {
        *("acss_debit", "au_becs_debit", "bacs_debit", "nz_bank_account", "sepa_debit"),
        "us_bank_account",
    }
)
"""The payment methods whose money comes days later."""


class Changing:
    """Makes changes."""

    def __init__(self, means: Means, schedules: Schedules) -> None:
        self._means = means
        self._schedules = schedules
        means.is_done_once(OPERATION)

    async def change(self, customer: str, intent: Intent, idempotency_key: str | None) -> Changed:
        """Carry out what was judged. What is so already is left so, and an earlier change that
        waits for the end of the period is taken back."""
        subscription_id = intent.found["id"]
        await self._schedules.take_back(customer, intent.found, idempotency_key)
        if not intent.is_nothing and intent.when == "period_end":
            await self._schedules.put(customer, intent, idempotency_key)
        elif not intent.is_nothing:
            await self._means.update(
                OPERATION,
                subscription_id,
                await self._params(intent),
                customer=customer,
                idempotency_key=idempotency_key,
            )
        view = await self._means.seen(customer, subscription_id)
        if view.pending_until is None:
            return Changed(subscription=view)
        found = await self._means.with_secrets(subscription_id)
        return Changed(subscription=view, secret=secret_of(found))

    async def _params(self, intent: Intent) -> dict[str, Any]:
        params: dict[str, Any] = {"items": intent.items}
        if intent.is_more:
            params["proration_behavior"] = "always_invoice"
        else:
            params["proration_behavior"] = "create_prorations"
        if await self._can_wait(intent.found):
            params["payment_behavior"] = "pending_if_incomplete"
        if intent.as_of is not None and intent.found["status"] != "trialing":
            params["proration_date"] = int(intent.as_of.timestamp())
        return params

    async def _can_wait(self, found: Obj) -> bool:
        """Whether Stripe lets a change wait for its payment: not for invoices that are sent, nor
        for bank debits (see the page above). Those changes are made at once; a debit that fails
        makes the subscription `past_due`."""
        if found["collection_method"] != "charge_automatically":
            return False
        gateway, method = self._means.gateway, found.get("default_payment_method")
        if method is None:
            payer = await gateway.fetch("customer", found["customer"]) or {}
            method = (payer.get("invoice_settings") or {}).get("default_payment_method")
        kept = None if method is None else await gateway.fetch("payment_method", method)
        return kept is None or kept["type"] not in _DEBITS
