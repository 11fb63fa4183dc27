"""The library's own handlers: one projector for each kind of object, and all of them together."""

from collections.abc import Mapping
from datetime import datetime

from gatekeeper.services import freezes, intents, orders, top_ups, transfers
from gatekeeper.services.outbox.caches import Invalidate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.kinds import KINDS as PATHS
from gatekeeper.stripe.webhooks.handlers.checkout import CheckoutProjector
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched
from gatekeeper.stripe.webhooks.handlers.customer import CustomerProjector
from gatekeeper.stripe.webhooks.handlers.invoice import InvoiceProjector
from gatekeeper.stripe.webhooks.handlers.mirror import (
    KINDS,
    ByAccount,
    Effect,
    HeldProjector,
    LeavingProjector,
    MirrorProjector,
)
from gatekeeper.stripe.webhooks.handlers.money import MoneyProjector
from gatekeeper.stripe.webhooks.handlers.schedule import ScheduleProjector
from gatekeeper.stripe.webhooks.handlers.subscription import SubscriptionProjector
from gatekeeper.stripe.webhooks.projecting import Projector

EVENT_TYPES = tuple(
    sorted(
        {
            *CheckoutProjector.event_types,
            *CustomerProjector.event_types,
            *HeldProjector.event_types,
            *InvoiceProjector.event_types,
            *LeavingProjector.event_types,
            *MirrorProjector.event_types,
            *MoneyProjector.event_types,
            *SubscriptionProjector.event_types,
        }
    )
)
"""The events that a webhook endpoint has to be sent for the library to know all it must."""


class Projections:
    """The projectors of one gate, which call upon each other."""

    def __init__(
        self, gateway: StripeGateway, store: Store, rules: Rules, invalidate: Invalidate
    ) -> None:
        context = Context(gateway, store, rules, invalidate)
        self.subscriptions = SubscriptionProjector(context)
        self.invoices = InvoiceProjector(context, self.subscriptions)
        self.customers = CustomerProjector(context, self.subscriptions)
        self.checkouts = CheckoutProjector(context, self.subscriptions)
        self.money = MoneyProjector(context)

        def follow_review(tx: Transaction, copy: MirrorObject, now: datetime) -> Touched | None:
            touched = freezes.follow_review(tx, rules, copy)
            return None if touched is None else Touched(*touched)

        def follow_intent(tx: Transaction, copy: MirrorObject, now: datetime) -> None:
            orders.note_intent(tx, copy, now)
            intents.follow_intent(tx, rules, copy)

        effects: Mapping[str, Effect] = {
            "payment_intent": follow_intent,
            "payment_method": _note_card,
            "review": follow_review,
            "transfer": transfers.note_copy,
        }
        copies = {kind: MirrorProjector(context, kind, effects.get(kind)) for kind in KINDS}
        copies["subscription_schedule"] = ScheduleProjector(context)
        self.copies: Mapping[str, MirrorProjector] = copies
        ours: Mapping[str, Projector] = {
            "customer": self.customers,
            "subscription": self.subscriptions,
            "invoice": self.invoices,
            "checkout.session": self.checkouts,
            "charge": self.money,
            "refund": self.money,
            "dispute": self.money,
            "radar.early_fraud_warning": self.money,
        }
        self.by_type: Mapping[str, Projector] = {
            **copies,
            **{kind: ByAccount(own, copies[kind]) for kind, own in ours.items()},
            "application": LeavingProjector(copies["account"]),
            "fee_refund": HeldProjector(
                copies["application_fee"], "fee", PATHS["application_fee"].path
            ),
        }


def _note_card(tx: Transaction, copy: MirrorObject, now: datetime) -> None:
    if copy.customer is not None:
        top_ups.note_card(tx, copy.customer)


__all__ = ["EVENT_TYPES", "Projections"]
