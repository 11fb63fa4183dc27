"""Refunds by people: never more than is left, each once, whatever happens on the way.

What is asked for is stored first, with its record, under the lock of its payment: from then on it
counts as given, so that two who refund at once never give back more than was paid. Stripe checks
the same once more (https://docs.stripe.com/refunds). What the payment had granted is taken back,
and given back if the refund fails, when the refund's own events come (`services/clawbacks.py`,
`services/plan_returns.py`).
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, get_args

import msgspec
from msgspec.structs import replace

from gatekeeper.errors import (
    InvalidInputError,
    NotFoundError,
    RefundRefusedError,
    RefundTooLargeError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.projection.mirrored import project_copies
from gatekeeper.services.back_office.mandates import Act, Change, Mandate, act, carry_out
from gatekeeper.services.mirror import save_objects
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.refunds import AskedRefund, AskedStatus
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.refunds.money import MARK, Of, Refundable, left_minor, look
from gatekeeper.stripe.refunds.values import Refund, RefundReason, listed, view
from gatekeeper.types import check_amount, check_id, check_limit

logger: Final = logging.getLogger("gatekeeper.stripe")

OPERATION: Final = "refunds create by hand"
KIND: Final = "refund.create"
_STATUSES: Final = (
    *("open", "refused", "pending", "requires_action", "succeeded", "failed", "canceled"),
)
_OF_THE_KEY: Final = (401, 403)


class RefundDesk:
    """Refunds of one Stripe account."""

    def __init__(self, gateway: StripeGateway, store: Store, outgoing: OutgoingRequests) -> None:
        self._gateway = gateway
        self._store = store
        self._outgoing = outgoing
        outgoing.on_resumed(OPERATION, _note_resumed, look=self._look, refused=_note_refused)

    async def create(
        self,
        mandate: Mandate,
        of: Of,
        *,
        amount_minor: int | None = None,
        reason: RefundReason | None = None,
    ) -> Refund:
        """Give back what a payment has cost, or a part of it.

        Where Stripe does not answer, the refund is "open": it is sent again in the background,
        once, and what becomes of it is told by `get`.

        Args:
            mandate: who, and why; under its idempotency key it is done once.
            amount_minor: in minor units of the payment's currency; None: all that is left.
            reason: Stripe's word for why.

        Raises:
            InvalidInputError, InvalidAmountError.
            NotFoundError: there is no such payment.
            ConflictError: an invoice was paid by several payments.
            RefundTooLargeError: that much is not left.
            RefundRefusedError: Stripe has refused it: the charge is disputed, say.
            IdempotencyConflictError: the key was used for another refund.
            StripeUnavailableError, StripeRequestError: nothing was asked for.
        """
        if amount_minor is not None:
            check_amount(amount_minor, "The amount of a refund")
        if reason is not None and reason not in get_args(RefundReason):
            raise InvalidInputError(f"Stripe knows no reason {reason!r} of a refund.")
        to_do = act(mandate, KIND, of=of, amount_minor=amount_minor, stripe_reason=reason)
        refund_id = f"rf_{to_do.name}"
        known = await self._store.read(lambda tx: _known(tx, to_do, refund_id))
        if known is None:
            found = await look(self._gateway, self._store, of)
            stored = _storing(refund_id, to_do, found, of, amount_minor, reason)
            await carry_out(self._store, to_do, stored)
            known = await self._store.read(lambda tx: _known(tx, to_do, refund_id))
            assert known is not None
            if known.status is AskedStatus.OPEN:
                await self._send(known, found.shares)
        elif known.status is AskedStatus.OPEN:
            await self._resend(known)
        made = await self._store.read(lambda tx: tx.refunds.get(refund_id))
        if made is not None and made.status is AskedStatus.REFUSED:
            raise RefundRefusedError(made.last_error, refund=refund_id)
        return await self.get(refund_id)

    async def get(self, refund_id: str) -> Refund:
        """A refund by our id, as it is now.

        Raises:
            NotFoundError: none of this id was asked for here.
        """
        check_id(refund_id, "refund")

        def read(tx: Transaction) -> Refund | None:
            asked = tx.refunds.get(refund_id)
            if asked is None:
                return None
            made = asked.refund_id
            return view(asked, None if made is None else tx.mirror.get("refund", made))

        found = await self._store.read(read)
        if found is None:
            raise NotFoundError(f"There is no refund {refund_id!r}.")
        return found

    async def list(
        self,
        *,
        customer: str | None = None,
        status: str | None = None,
        limit: int = 100,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[Refund]:
        """All refunds, whoever has made them, the newest first; `after` is the place of the last of
        the page before.

        Raises:
            InvalidInputError: there is no such status, or `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        if status is not None and status not in _STATUSES:
            raise InvalidInputError(f"A refund is one of {', '.join(_STATUSES)}.")
        return await self._store.read(
            lambda tx: listed(tx, limit, after, customer=customer, status=status)
        )

    async def _send(self, refund: AskedRefund, shares: dict[str, Any]) -> None:
        params = {
            "charge": refund.charge_id,
            "amount": refund.amount_minor,
            "metadata": {MARK: refund.id},
            **({} if refund.reason is None else {"reason": refund.reason}),
            **shares,
        }
        await self._post(refund, params)

    async def _resend(self, refund: AskedRefund) -> None:
        """Look at once whether an open refund was made, and make it if not."""
        found = await look(self._gateway, self._store, Of(payment=refund.charge_id))
        await self._send(refund, found.shares)

    async def _post(self, refund: AskedRefund, params: dict[str, Any]) -> None:
        try:
            await self._outgoing.post(
                OPERATION,
                "/v1/refunds",
                params,
                customer=refund.customer,
                idempotency_key=f"gatekeeper-{refund.id}",
                settle=lambda tx, made: _note_made(tx, refund.id, made),
            )
        except StripeUnavailableError:
            logger.warning("refund %s is sent again in the background", refund.id)
        except StripeRequestError as error:
            if error.params.get("stripe_status") in _OF_THE_KEY:
                raise

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The refund that was made by a request, if it was."""
        asked = msgspec.json.decode(request.params)
        only = {"charge": asked["charge"]}
        made = await self._gateway.listed("/v1/refunds", only, what=f"charge {asked['charge']}")
        alike = (one for one in made if one.get("metadata") == asked["metadata"])
        return next(alike, None)


def _known(tx: Transaction, to_do: Act, refund_id: str) -> AskedRefund | None:
    return None if to_do.done(tx) is None else tx.refunds.get(refund_id)


def _storing(
    refund_id: str,
    to_do: Act,
    found: Refundable,
    of: Of,
    amount_minor: int | None,
    reason: str | None,
) -> Any:
    """What stores a refund that may be given, with its record."""
    money = found.money

    def store(tx: Transaction) -> Change:
        payment = tx.payments.lock(money.payment_id)
        left = left_minor(tx, found)
        amount = left if amount_minor is None else amount_minor
        if not left or amount > left:
            raise RefundTooLargeError(
                f"Of {money.amount_minor} {money.currency} (minor units), {left} are left to be "
                "refunded.",
                left_minor=left,
                currency=money.currency,
            )
        owner = owner_of(tx, money.customer, None)
        customer = found.customer or (payment.customer if owner is None else owner.id)
        tx.refunds.insert(
            AskedRefund(
                id=refund_id,
                customer=customer,
                payment_id=money.payment_id,
                charge_id=money.id,
                invoice_id=of.invoice or payment.invoice_id,
                order_id=of.order,
                amount_minor=amount,
                currency=money.currency,
                reason=reason,
                note=to_do.mandate.reason,
                actor=to_do.mandate.actor,
                created_at=tx.now(),
            )
        )
        return Change(
            before={"left_minor": left, "currency": money.currency},
            after={"left_minor": left - amount, "refund": refund_id, "amount_minor": amount},
            subject=f"payment/{money.payment_id}",
            customer=customer,
        )

    return store


def _note_made(tx: Transaction, refund_id: str, made: Obj) -> None:
    """Note what Stripe has made of a refund; its copy too, unless an event was faster."""
    if tx.mirror.get("refund", made["id"]) is None:
        save_objects(tx, project_copies(made, "refund"), tx.now())
    known = tx.refunds.get(refund_id, lock=True)
    if known is not None and known.status is not AskedStatus.MADE:
        done = replace(
            known,
            status=AskedStatus.MADE,
            refund_id=made["id"],
            ended_at=tx.now(),
            last_error=None,
        )
        tx.refunds.save(done)


def _note_resumed(tx: Transaction, request: OutgoingRequest, made: Obj) -> None:
    _note_made(tx, _refund_of(request), made)


def _note_refused(tx: Transaction, request: OutgoingRequest, error: str) -> None:
    known = tx.refunds.get(_refund_of(request), lock=True)
    if known is not None and known.status is AskedStatus.OPEN:
        status = AskedStatus.REFUSED
        tx.refunds.save(replace(known, status=status, ended_at=tx.now(), last_error=error))


def _refund_of(request: OutgoingRequest) -> str:
    return str(msgspec.json.decode(request.params)["metadata"][MARK])
