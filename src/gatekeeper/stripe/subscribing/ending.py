"""Ending a subscription, pausing it, and going on with it."""

from typing import Any, Final

from gatekeeper.entitlements import TERMINAL
from gatekeeper.errors import ConflictError
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.subscribing.means import Means, secret_of
from gatekeeper.stripe.subscribing.schedules import Schedules
from gatekeeper.stripe.subscribing.values import Changed, When

_CANCEL: Final = "subscription cancellations"
_PAUSE: Final = "subscription pauses"
_RESUME: Final = "subscription resumptions"

_ENDING: Final = frozenset({"active", "trialing", "past_due", "unpaid", "paused"})


class Ending:
    """Ends, pauses and resumes."""

    def __init__(self, means: Means, schedules: Schedules) -> None:
        self._means = means
        self._schedules = schedules
        for operation in (_CANCEL, _PAUSE, _RESUME):
            means.is_done_once(operation)

    async def cancel(
        self, customer: str, subscription_id: str, when: When, idempotency_key: str | None
    ) -> Changed:
        """End it with its period, or now; nothing is refunded. What has ended stays so."""
        found = await self._means.owned(customer, subscription_id)
        if found["status"] in TERMINAL:
            return await self._changed(customer, subscription_id)
        if when == "now" or found["status"] not in _ENDING:
            self._refuse_unbilled(found)
            # Stripe can't do it twice: https://docs.stripe.com/api/subscriptions/cancel
            await self._means.gateway.cancel_subscription(subscription_id)
        elif not found.get("cancel_at_period_end"):
            await self._schedules.take_back(customer, found, idempotency_key)
            await self._post(
                _CANCEL, customer, found, {"cancel_at_period_end": True}, idempotency_key
            )
        return await self._changed(customer, subscription_id)

    async def pause(
        self, customer: str, subscription_id: str, idempotency_key: str | None
    ) -> Changed:
        """Pause its collection: nothing is billed, and nothing is had.

        Raises:
            ConflictError: by the settings a pause keeps its access, which would give the plan away;
                or it is not active.
        """
        found = await self._means.owned(customer, subscription_id)
        if self._means.rules.policy.pause_collection != "deny":
            raise ConflictError("Pauses are not offered here.")
        if found.get("pause_collection") is not None:
            return await self._changed(customer, subscription_id)
        if found["status"] != "active":
            raise ConflictError(f"The subscription can't be paused: it is {found['status']}.")
        # https://docs.stripe.com/billing/subscriptions/pause-payment: for who provides nothing
        params = {"pause_collection": {"behavior": "void"}}
        await self._post(_PAUSE, customer, found, params, idempotency_key)
        return await self._changed(customer, subscription_id)

    async def resume(
        self, customer: str, subscription_id: str, idempotency_key: str | None
    ) -> Changed:
        """Go on: take back an end with the period, or a pause.

        A pause over the end of a period begins a new one now, paid now: what Stripe voided
        meanwhile was not paid for.

        Raises:
            ConflictError: it has ended, or is to end at a time that the host has set.
        """
        found = await self._means.owned(customer, subscription_id)
        if found["status"] in TERMINAL:
            raise ConflictError("The subscription has ended: begin another.")
        params: dict[str, Any] = {}
        path = ""
        if found.get("cancel_at_period_end"):
            params = {"cancel_at_period_end": False}
        elif found.get("cancel_at") is not None:
            raise ConflictError("The end of this subscription was set by hand.")
        if found["status"] == "paused":
            path, params = "/resume", {"billing_cycle_anchor": "now"}
        elif found.get("pause_collection") is not None:
            params["pause_collection"] = ""
            if not await self._means.store.read(lambda tx: _is_paid_now(tx, subscription_id)):
                await self._schedules.take_back(customer, found, idempotency_key)
                params |= {
                    "billing_cycle_anchor": "now",
                    "proration_behavior": "none",
                    "payment_behavior": "error_if_incomplete",
                }
        if params:
            await self._post(_RESUME, customer, found, params, idempotency_key, path)
        return await self._changed(customer, subscription_id)

    # -- what they share --------------------------------------------------------------------------

    async def _post(
        self,
        operation: str,
        customer: str,
        found: Obj,
        params: dict[str, Any],
        idempotency_key: str | None,
        path: str = "",
    ) -> None:
        await self._means.update(
            operation,
            found["id"],
            params,
            customer=customer,
            idempotency_key=idempotency_key,
            path=path,
        )

    async def _changed(self, customer: str, subscription_id: str) -> Changed:
        view = await self._means.seen(customer, subscription_id)
        if view.status != "paused" and view.pending_until is None:
            return Changed(subscription=view)
        found = await self._means.with_secrets(subscription_id)
        return Changed(subscription=view, secret=secret_of(found))

    @staticmethod
    def _refuse_unbilled(found: Obj) -> None:
        """What was used beyond the plan is billed when the period ends: it must come to that."""
        metered = any(
            (item["price"].get("recurring") or {}).get("usage_type") == "metered"
            for item in found["items"]["data"]
        )
        if metered and found["status"] in _ENDING:
            raise ConflictError(
                "The subscription bills what was used when its period ends: cancel it then."
            )


def _is_paid_now(tx: Transaction, subscription_id: str) -> bool:
    """Whether a paid invoice covers this moment."""
    now = tx.now()
    return any(
        line.start <= now < line.end and not line.proration and not line.is_returned
        for item in tx.subscriptions.items(subscription_id)
        for line in item.paid_lines
    )
