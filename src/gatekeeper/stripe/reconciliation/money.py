"""The sweep of money: refunds, disputes and fraud warnings that we have otherwise, or not at all.

Each belongs to a charge, which is what is repaired: the charge is fetched with all that was taken
off it, and what its payment granted is brought to its target.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from gatekeeper.errors import ProjectionError, StripeRequestError
from gatekeeper.projection.mirrored import project_mirrored
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.reconciliation.report import Drift
from gatekeeper.stripe.webhooks.handlers.money import WARNING

MONEY_SINCE: Final = timedelta(days=120)
"""How old refunds, disputes and warnings are that are looked at. A dispute takes up to three months
to be decided (https://docs.stripe.com/disputes/how-disputes-work)."""

_FORBIDDEN: Final = 403

SWEPT: Final = ("refund", "dispute", WARNING)


logger = logging.getLogger("gatekeeper.reconciliation")


class Compared(NamedTuple):
    """What of a page differs, how many of its objects are our customers', and the ids of those that
    are not as Stripe's objects are, with what is the matter."""

    drift: list[Drift]
    objects: int
    unreadable: tuple[tuple[str, ProjectionError], ...] = ()


class MoneySweep:
    """Compares what was taken off charges."""

    def __init__(self, gateway: StripeGateway, store: Store) -> None:
        self._gateway = gateway
        self._store = store

    async def look(self, now: datetime) -> AsyncIterator[Compared]:
        """Compare, page after page; writes nothing. A kind that a restricted key may not read is
        left out, and that is logged.

        Raises:
            StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        query: dict[str, Any] = {
            "created": {"gte": int((now - MONEY_SINCE).timestamp())},
            "expand": ["data.charge"],
        }
        for kind in SWEPT:
            pages = self._gateway.pages(KINDS[kind].path, query, what=f"listing a {kind}")
            try:
                async for page in pages:
                    yield await self._store.read(partial(_compared, kind=kind, page=page))
            except StripeRequestError as error:
                if error.params.get("stripe_status") != _FORBIDDEN:
                    raise
                logger.warning("no %s was compared: the key may not list them", kind)


def _compared(tx: Transaction, *, kind: str, page: Sequence[Obj]) -> Compared:
    found: list[Drift] = []
    unreadable: list[tuple[str, ProjectionError]] = []
    objects = 0
    for one in page:
        charge = one.get("charge")
        if not isinstance(charge, dict):
            continue  # a refund of a balance
        customer = owner_of_charge(tx, charge)
        if customer is None:
            continue
        objects += 1
        try:
            seen = project_mirrored({**one, "charge": charge["id"]}, kind)
        except ProjectionError as error:
            unreadable.append((one["id"], error))
            continue
        theirs, ours = _shown(seen.status, seen.amount_minor), tx.mirror.get(kind, one["id"])
        has = None if ours is None or ours.deleted else _shown(ours.status, ours.amount_minor)
        if has != theirs:
            field = f"{charge['id']}.{kind.rpartition('.')[2]}"
            found.append(
                Drift(
                    kind=kind,
                    id=one["id"],
                    customer=customer,
                    field=field,
                    ours=has,
                    theirs=theirs,
                    repairs=charge["id"],
                )
            )
    return Compared(found, objects, tuple(unreadable))


def owner_of_charge(tx: Transaction, charge: Obj) -> str | None:
    """Whose charge it is: by Stripe's customer, else by what its payment has granted."""
    customer = charge.get("customer")
    owner = owner_of(tx, customer["id"] if isinstance(customer, dict) else customer, None)
    if owner is not None:
        return owner.id
    intent = charge.get("payment_intent")
    payment = tx.payments.get(
        (intent["id"] if isinstance(intent, dict) else intent) or charge["id"]
    )
    return None if payment is None else payment.customer


def _shown(status: str | None, amount_minor: int | None) -> str:
    parts = (status or "there", None if amount_minor is None else str(amount_minor))
    return ", ".join(part for part in parts if part is not None)
