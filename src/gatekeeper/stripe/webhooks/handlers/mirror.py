"""Copies of Stripe's objects of all kinds."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final

from gatekeeper.errors import StripeRequestError
from gatekeeper.projection.mirrored import project_copies
from gatekeeper.services.mirror import bury_object, save_objects
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.webhooks.event import named_in
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched, nothing
from gatekeeper.stripe.webhooks.projecting import Complete, Projector

logger = logging.getLogger("gatekeeper.webhooks")

LEFT: Final = "account_invalid"
"""What Stripe says of a connected account that may not be asked about (any more)
(https://docs.stripe.com/error-codes#account-invalid)."""

Effect = Callable[[Transaction, MirrorObject, datetime], Touched | None]
"""What follows from an object that was written, in the same transaction and after it: called again
whenever the object is fetched, so it must come to the same however often. `MirrorObject.facts` is
JSON. It returns the customer whose version it has moved on, if it has. Objects of connected
accounts have none."""

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("account.updated",),
    "application_fee": ("application_fee.created", "application_fee.refunded"),
    "balance_transaction": (),  # Stripe sends none: it comes with what it is of
    "charge": (),
    "checkout.session": (),
    "customer": (),
    "dispute": (),
    "invoice": (),
    "invoice_payment": ("invoice_payment.paid",),
    "payment_intent": (
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
        "payment_intent.partially_funded",
        "payment_intent.payment_failed",
        "payment_intent.processing",
        "payment_intent.requires_action",
        "payment_intent.succeeded",
    ),
    "payment_method": (
        "payment_method.attached",
        "payment_method.automatically_updated",
        "payment_method.detached",
        "payment_method.updated",
    ),
    "payout": (
        "payout.canceled",
        "payout.created",
        "payout.failed",
        "payout.paid",
        "payout.reconciliation_completed",
        "payout.updated",
    ),
    "price": ("price.created", "price.deleted", "price.updated"),
    "product": ("product.created", "product.deleted", "product.updated"),
    "radar.early_fraud_warning": (),
    "refund": (),
    "review": ("review.closed", "review.opened"),
    "setup_intent": (
        "setup_intent.canceled",
        "setup_intent.requires_action",
        "setup_intent.setup_failed",
        "setup_intent.succeeded",
    ),
    "subscription": (),
    "subscription_schedule": (
        "subscription_schedule.aborted",
        "subscription_schedule.canceled",
        "subscription_schedule.completed",
        "subscription_schedule.created",
        "subscription_schedule.released",
        "subscription_schedule.updated",
    ),
    "transfer": ("transfer.created", "transfer.reversed", "transfer.updated"),
}
"""The kinds that are fetched by themselves, and the events that tell of them
(https://docs.stripe.com/api/events/types). Where there are none, our own account's are projected
by a projector that writes the copy with the rest of what they mean, and knows their events."""


class MirrorProjector(Projector):
    """Projects one kind of object into `tx.mirror`, by its shape."""

    event_types: ClassVar[tuple[str, ...]] = tuple(
        sorted(name for names in KINDS.values() for name in names)
    )
    connected: ClassVar[bool] = True

    def __init__(self, context: Context, kind: str, effect: Effect | None = None) -> None:
        self._context = context
        self._kind = kind
        self._effect = effect

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        await self.refresh(str(events[0].object_id), complete, account=events[0].account)

    async def leave(self, complete: Complete) -> None:
        """Complete events that say nothing."""
        await self._context.store.write(complete)

    async def refresh(
        self, object_id: str, complete: Complete = nothing, *, account: str | None = None
    ) -> Obj | None:
        """Bring the copy of one object up to date; returns it as Stripe has it now."""
        # The platform reads its connected accounts itself.
        on = None if self._kind == "account" else account
        try:
            fetched = await self._context.fetch(self._kind, object_id, account=on)
        except StripeRequestError as error:
            if account is None or error.params.get("stripe_code") != LEFT:
                raise
            logger.warning("account %s has left: %s is not copied any more", account, object_id)
            await self._part_with(object_id, complete)
            return None
        found = fetched.found
        gone = found is None or found.get("deleted") is True
        seen = () if found is None or gone else project_copies(found, self._kind)

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            if not fetched.may_write(tx, terminal=bool(seen) and seen[0].final):
                return None
            now = tx.now()
            if seen:
                row: MirrorObject | None = save_objects(tx, seen, now, on)[0]
            else:
                row = bury_object(tx, self._kind, object_id, now, on)
            if row is None or row.account or self._effect is None:
                return None
            return self._effect(tx, row, now)

        await self._context.commit(work)
        return found

    async def _part_with(self, object_id: str, complete: Complete) -> None:
        """Note of an account that it has left; what it has is as it was."""

        def work(tx: Transaction) -> None:
            complete(tx)
            if self._kind == "account":
                bury_object(tx, "account", object_id, tx.now())

        await self._context.store.write(work)


class LeavingProjector(Projector):
    """Looks at the connected account that has taken back its leave to an application: ours or
    another."""

    event_types: ClassVar[tuple[str, ...]] = ("account.application.deauthorized",)
    connected: ClassVar[bool] = True

    def __init__(self, accounts: MirrorProjector) -> None:
        self._accounts = accounts

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        account = events[0].account
        if account is None:
            await self._accounts.leave(complete)
        else:
            await self._accounts.refresh(account, complete, account=account)


class HeldProjector(Projector):
    """Projects what has no address of its own at Stripe, by the object that it is part of: the
    refund of an application fee, with its fee."""

    event_types: ClassVar[tuple[str, ...]] = ("application_fee.refund.updated",)
    connected: ClassVar[bool] = True

    def __init__(self, holder: MirrorProjector, field: str, path: str) -> None:
        self._holder = holder
        self._field = field
        self._path = path

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        named = (named_in(event, self._field, self._path) for event in events)
        holder = next((name for name in named if name is not None), None)
        if holder is None:
            logger.warning(
                "event %s does not say what %s is part of: no effect",
                events[-1].event_id,
                events[-1].object_id,
            )
            await self._holder.leave(complete)
            return
        await self._holder.refresh(holder, complete, account=events[0].account)


class ByAccount(Projector):
    """Projects our own account's objects by one projector, and of connected accounts the copy
    alone: what happens there gives nobody anything here."""

    connected: ClassVar[bool] = True

    def __init__(self, ours: Projector, theirs: Projector) -> None:
        self._ours = ours
        self._theirs = theirs

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        by = self._ours if events[0].account is None else self._theirs
        await by.project(events, complete)
