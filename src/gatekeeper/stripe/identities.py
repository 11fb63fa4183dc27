"""The Stripe customer of a host's customer: made once, when first needed."""

import hashlib
from typing import Final

from msgspec.structs import replace

from gatekeeper.services import customers
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.outgoing import OutgoingRequests

_OPERATION: Final = "customers create"


class StripeIdentities:
    """Finds or makes the Stripe customer of a host's customer."""

    def __init__(self, outgoing: OutgoingRequests, store: Store) -> None:
        self._outgoing = outgoing
        self._store = store
        outgoing.on_resumed(_OPERATION, _keep)

    async def ensure(self, customer: str, *, instead_of: str | None = None) -> str:
        """Stripe's id of the customer; `instead_of` one that Stripe has deleted.

        Two requests at once make one Stripe customer: they send the same idempotency key, and the
        row's lock lets one id in (hard cases 40 and 41).

        Raises:
            InvalidIdError, CustomerNotFoundError: see `customers.ensure`.
            StripeUnavailableError, StripeRequestError.
        """
        known = await self._store.write(lambda tx: customers.ensure(tx, customer))
        if known.stripe_id is not None and known.stripe_id != instead_of:
            return known.stripe_id
        params = {"metadata": {"gatekeeper_customer": known.id}}
        told = {"email": known.email, "name": known.name}

        def save(tx: Transaction, made: Obj) -> str:
            row = tx.customers.get(customer, lock=True) or known
            if row.stripe_id is not None and row.stripe_id != instead_of:
                return row.stripe_id
            tx.customers.save(replace(row, stripe_id=made["id"]))
            return str(made["id"])

        return await self._outgoing.post(
            _OPERATION,
            "/v1/customers",
            {**params, **{name: value for name, value in told.items() if value}},
            customer=customer,
            idempotency_key=_key(known, instead_of),
            settle=save,
        )


def _keep(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    """The answer came after a crash: it is the customer's, unless they have got another since."""
    row = None if request.customer is None else tx.customers.get(request.customer, lock=True)
    if row is not None and row.stripe_id is None:
        tx.customers.save(replace(row, stripe_id=made["id"]))


def _key(customer: Customer, instead_of: str | None) -> str:
    """The idempotency key of making the customer: the same for everybody who tries.

    The moment at which the row was made tells apart two databases that use one test account. What
    is told of the customer is part of it, since Stripe refuses a key with other parameters for a
    day: somebody who changes their name after a timeout must not be locked out.
    """
    parts = (
        customer.id,
        customer.created_at.isoformat(),
        customer.email,
        customer.name,
        instead_of,
    )
    return f"gatekeeper-customer-{hashlib.sha256(repr(parts).encode()).hexdigest()}"
