"""The Stripe customer of a host's customer: made once, when first needed."""

import hashlib
from datetime import timedelta
from typing import Any, Final

import msgspec

from gatekeeper.services import customers
from gatekeeper.services.mirror import link
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests

_OPERATION: Final = "customers create"

_CLOCKS: Final = timedelta(minutes=5)
"""How far Stripe's clock may be behind ours."""

_MADE_FOR: Final = "gatekeeper_request"
"""The key of metadata by which a customer is found again whose making was not heard of."""


class StripeIdentities:
    """Finds or makes the Stripe customer of a host's customer."""

    def __init__(self, gateway: StripeGateway, outgoing: OutgoingRequests, store: Store) -> None:
        self._gateway = gateway
        self._outgoing = outgoing
        self._store = store
        outgoing.on_resumed(_OPERATION, _keep, look=self._look)

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
        key = _key(known, instead_of)
        # The key tells apart two databases that use one test account, and one customer's several.
        params = {"metadata": {"gatekeeper_customer": known.id, _MADE_FOR: key}}
        told = {"email": known.email, "name": known.name}

        def save(tx: Transaction, made: Obj) -> str:
            row = tx.customers.get(customer, lock=True) or known
            if row.stripe_id is not None and row.stripe_id != instead_of:
                return row.stripe_id
            link(tx, row, made["id"])
            return str(made["id"])

        return await self._outgoing.post(
            _OPERATION,
            "/v1/customers",
            {**params, **{name: value for name, value in told.items() if value}},
            customer=customer,
            idempotency_key=key,
            settle=save,
        )

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The Stripe customer that a request has made. (Stripe's search knows what is in metadata,
        but not at once.)"""
        asked: dict[str, Any] = msgspec.json.decode(request.params)
        query: dict[str, Any] = {
            "created": {"gte": int((request.created_at - _CLOCKS).timestamp())},
            **{name: asked[name] for name in ("email",) if name in asked},
        }
        wanted = asked["metadata"].get(_MADE_FOR)
        async for page in self._gateway.pages("/v1/customers", query, what="listing customers"):
            for found in page:
                if (found.get("metadata") or {}).get(_MADE_FOR) == wanted:
                    return found
        return None


def _keep(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    """The answer came after a crash: it is the customer's, unless they have got another since."""
    row = None if request.customer is None else tx.customers.get(request.customer, lock=True)
    if row is not None and row.stripe_id is None:
        link(tx, row, made["id"])


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
