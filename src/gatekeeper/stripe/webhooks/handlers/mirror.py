"""Copies of all those kinds of objects that have no projector of their own."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final

from gatekeeper.projection.mirrored import project_mirrored
from gatekeeper.services.mirror import bury_object, save_object
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched, nothing
from gatekeeper.stripe.webhooks.projecting import Complete, Projector

Effect = Callable[[Transaction, MirrorObject, datetime], Touched | None]
"""What follows from an object that was written, in the same transaction and after it: called again
whenever the object is fetched, so it must come to the same however often. `MirrorObject.facts` is
JSON. It returns the customer whose version it has moved on, if it has."""

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("account.updated",),
    "application_fee": ("application_fee.created", "application_fee.refunded"),
    "balance_transaction": (),  # Stripe sends none: fetched by whoever needs one
    "invoice_payment": ("invoice_payment.paid",),
    "payment_intent": (
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
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
        "payout.updated",
    ),
    "price": ("price.created", "price.deleted", "price.updated"),
    "product": ("product.created", "product.deleted", "product.updated"),
    "review": ("review.closed", "review.opened"),
    "setup_intent": (
        "setup_intent.canceled",
        "setup_intent.setup_failed",
        "setup_intent.succeeded",
    ),
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
"""The kinds, and the events that tell of them (https://docs.stripe.com/api/events/types)."""


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

    async def refresh(
        self, object_id: str, complete: Complete = nothing, *, account: str | None = None
    ) -> None:
        """Bring the copy of one object up to date."""
        # The platform reads its connected accounts itself.
        on = None if self._kind == "account" else account
        fetched = await self._context.fetch(self._kind, object_id, account=on)
        found = fetched.found
        gone = found is None or found.get("deleted") is True
        seen = None if found is None or gone else project_mirrored(found, self._kind)

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            if not fetched.may_write(tx, terminal=seen is not None and seen.final):
                return None
            now = tx.now()
            if seen is None:
                row = bury_object(tx, self._kind, object_id, now, on)
            else:
                row = save_object(tx, seen, now, on)
            return None if row is None or self._effect is None else self._effect(tx, row, now)

        await self._context.commit(work)
