"""The payment methods that a customer has saved.

They are saved by a SetupIntent that is confirmed in the page
(https://docs.stripe.com/payments/save-and-reuse); no number of a card comes near this process.
"""

from collections.abc import Sequence
from typing import Any, Final

from gatekeeper.entitlements import TERMINAL
from gatekeeper.errors import ConflictError, NotFoundError
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.subscribing.means import Means, key_of
from gatekeeper.stripe.subscribing.values import SavedMethod, Secret, SetupStarted
from gatekeeper.types import check_id

_SETUP: Final = "setup intents create"
_DEFAULT: Final = "default payment methods"
_DETACH: Final = "payment methods detach"


class PaymentMethods:
    """Saves, lists and forgets payment methods."""

    def __init__(self, means: Means) -> None:
        self._means = means
        for operation in (_SETUP, _DEFAULT, _DETACH):
            means.is_done_once(operation)

    async def setup(self, customer: str, *, idempotency_key: str | None = None) -> SetupStarted:
        """Begin to save a payment method, for payments without the customer.

        Raises:
            CustomerNotFoundError, InvalidIdError.
            StripeUnavailableError, StripeRequestError.
        """
        check_id(customer, "customer")

        async def create(stripe_customer: str) -> Obj:
            return await self._post(
                _SETUP,
                "/v1/setup_intents",
                {
                    "customer": stripe_customer,
                    "usage": "off_session",
                    "automatic_payment_methods": {"enabled": True},
                },
                customer,
                idempotency_key,
            )

        made = await self._means.with_customer(customer, create)
        secret = Secret(client_secret=made["client_secret"], confirms="setup")
        return SetupStarted(id=made["id"], secret=secret)

    async def saved(self, customer: str) -> Sequence[SavedMethod]:
        """What the customer has saved, as Stripe lists it: the newest first.

        Raises:
            InvalidIdError, StripeUnavailableError, StripeRequestError.
        """
        stripe_customer = await self._known(customer)
        if stripe_customer is None:
            return []
        holder = await self._means.gateway.fetch("customer", stripe_customer)
        if holder is None or holder.get("deleted"):
            return []
        path = f"/v1/customers/{stripe_customer}/payment_methods"
        found = await self._means.gateway.listed(path, what="listing payment methods")
        default, paying = await self._uses(stripe_customer)
        return [_saved(one, default, paying) for one in found]

    async def set_default(
        self, customer: str, payment_method: str, *, idempotency_key: str | None = None
    ) -> SavedMethod:
        """Pay by this one from now on: all running subscriptions too, whatever they began with.

        Raises:
            NotFoundError: the customer has saved none of this id.
            StripeUnavailableError, StripeRequestError.
        """
        found = await self._owned(customer, payment_method)
        stripe_customer = found["customer"]
        await self._post(
            _DEFAULT,
            f"/v1/customers/{stripe_customer}",
            {"invoice_settings": {"default_payment_method": payment_method}},
            customer,
            idempotency_key,
        )
        for running in await self._running(stripe_customer):
            if running.get("default_payment_method") not in (None, payment_method):
                # A subscription's own comes before its customer's:
                # https://docs.stripe.com/api/subscriptions/object#subscription_object-default_payment_method
                await self._post(
                    _DEFAULT,
                    f"/v1/subscriptions/{running['id']}",
                    {"default_payment_method": payment_method},
                    customer,
                    idempotency_key,
                )
                await self._means.seen(customer, running["id"])
        default, paying = await self._uses(stripe_customer)
        return _saved(found, default, paying)

    async def detach(
        self, customer: str, payment_method: str, *, idempotency_key: str | None = None
    ) -> None:
        """Forget one; it can't be used again.

        Raises:
            NotFoundError: the customer has saved none of this id.
            ConflictError: a running subscription is paid with it: make another the default first.
            StripeUnavailableError, StripeRequestError.
        """
        found = await self._owned(customer, payment_method)
        _, paying = await self._uses(found["customer"])
        if paying.get(payment_method):
            raise ConflictError("A subscription is paid with this: make another the default first.")
        path = f"/v1/payment_methods/{payment_method}/detach"
        await self._post(_DETACH, path, {}, customer, idempotency_key)

    # -- what they share --------------------------------------------------------------------------

    async def _known(self, customer: str) -> str | None:
        check_id(customer, "customer")
        row = await self._means.store.read(lambda tx: tx.customers.get(customer))
        return None if row is None else row.stripe_id

    async def _owned(self, customer: str, payment_method: str) -> Obj:
        check_id(payment_method, "payment method")
        stripe_customer = await self._known(customer)
        found = None
        if stripe_customer is not None:
            found = await self._means.gateway.fetch("payment_method", payment_method)
        if found is None or found.get("customer") != stripe_customer:
            raise NotFoundError("There is no such payment method.")
        return found

    async def _running(self, stripe_customer: str) -> list[Obj]:
        found = await self._means.gateway.listed(
            "/v1/subscriptions", {"customer": stripe_customer}, what="listing subscriptions"
        )
        return [one for one in found if one["status"] not in TERMINAL | {"incomplete"}]

    async def _uses(self, stripe_customer: str) -> tuple[str | None, dict[str, tuple[str, ...]]]:
        """The customer's default, and which running subscriptions are paid with what."""
        holder = await self._means.gateway.fetch("customer", stripe_customer) or {}
        settings = holder.get("invoice_settings") or {}
        default: str | None = settings.get("default_payment_method")
        paying: dict[str, tuple[str, ...]] = {}
        for one in await self._running(stripe_customer):
            by = one.get("default_payment_method") or default
            if by is not None:
                paying[by] = (*paying.get(by, ()), one["id"])
        return default, paying

    async def _post(
        self,
        operation: str,
        path: str,
        params: dict[str, Any],
        customer: str,
        idempotency_key: str | None,
    ) -> Obj:
        return await self._means.outgoing.post(
            operation,
            path,
            params,
            customer=customer,
            idempotency_key=key_of(operation, customer, path, idempotency_key),
            settle=_answer,
            keeps_trying=False,
        )


def _saved(found: Obj, default: str | None, paying: dict[str, tuple[str, ...]]) -> SavedMethod:
    kind = found["type"]
    shown = found.get(kind) or {}
    return SavedMethod(
        id=found["id"],
        type=kind,
        brand=shown.get("brand"),
        last4=shown.get("last4"),
        exp_month=shown.get("exp_month"),
        exp_year=shown.get("exp_year"),
        is_default=found["id"] == default,
        pays_for=paying.get(found["id"], ()),
    )


def _answer(tx: Transaction, answer: Obj) -> Obj:
    return answer
