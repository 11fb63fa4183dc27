"""The Stripe customer of a host's customer: made once, when first needed."""

import hashlib

from msgspec.structs import replace

from gatekeeper.services import customers
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.stripe.client import StripeGateway


class StripeIdentities:
    """Finds or makes the Stripe customer of a host's customer."""

    def __init__(self, gateway: StripeGateway, store: Store) -> None:
        self._gateway = gateway
        self._store = store

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
        made = await self._gateway.create_customer(
            {**params, **{name: value for name, value in told.items() if value}},
            _key(known, instead_of),
        )

        def save(tx: Transaction) -> str:
            row = tx.customers.get(customer, lock=True) or known
            if row.stripe_id is not None and row.stripe_id != instead_of:
                return row.stripe_id
            tx.customers.save(replace(row, stripe_id=made["id"]))
            return str(made["id"])

        return await self._store.write(save)


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
