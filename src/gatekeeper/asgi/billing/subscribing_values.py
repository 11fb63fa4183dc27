"""What pages say to subscribe and to change what they pay for, and what they are answered."""

from datetime import datetime
from typing import Literal

import msgspec

from gatekeeper.asgi.billing.values import Id, Line, Quantity
from gatekeeper.services.history import State
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.storage.mirror import Cause
from gatekeeper.stripe.subscribing import Preview, PromotionCode, Secret


class SubscribeBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to subscribe to: a price of the catalogue. Amounts are never asked for.

    Attributes:
        price: the lookup key of a plan's price.
        coupon: the id of a coupon that the host has named.
        promotion_code: what the person typed.
    """

    price: Id
    quantity: Quantity = 1
    coupon: Id | None = None
    promotion_code: Line | None = None


class StartedView(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that waits for what `secret` confirms.

    Attributes:
        checkout: by this, `GET checkout/{checkout}` tells what came of it.
        secret: for `stripe.confirmPayment` or `stripe.confirmSetup`; null: nothing is left to do.
        amount_due_minor: what the first invoice asks for, in minor units of `currency`.
    """

    checkout: str
    subscription: SubscriptionView
    secret: Secret | None
    amount_due_minor: int
    currency: str


class WantedBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a subscription is to be; what is left out stays.

    Attributes:
        price: the lookup key of a plan's price.
        when: "period_end" lets more wait for the next period too; less does so anyway, or by the
            host's policy not.
    """

    price: Id | None = None
    quantity: Quantity | None = None
    when: Literal["now", "period_end"] | None = None


class ChangeBody(WantedBody, frozen=True, kw_only=True):
    """What a subscription is to be; what is left out stays.

    Attributes:
        price: the lookup key of a plan's price.
        when: "period_end" lets more wait for the next period too; less does so anyway, or by the
            host's policy not.
        as_of: the `at` of a preview of the last quarter of an hour: what it showed is billed.
    """

    as_of: datetime | None = None


class QuantityBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How many there are to be.

    Attributes:
        as_of: the `at` of a preview of the last quarter of an hour: what it showed is billed.
    """

    quantity: Quantity
    as_of: datetime | None = None


class CancelSubscriptionBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """When it is to end. Nothing is refunded."""

    when: Literal["now", "period_end"] = "period_end"


class PromotionBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A promotion code that a person typed.

    Attributes:
        price: what it is to be used for, by the lookup key of a plan's price: then the answer says
            what that would cost, and whether the code may be used for it.
    """

    code: Line
    price: Id | None = None
    quantity: Quantity = 1


class PromotionView(msgspec.Struct, frozen=True, kw_only=True):
    """What a promotion code takes off, and what a new subscription would cost with it."""

    promotion_code: PromotionCode
    preview: Preview | None


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a subscription.

    Attributes:
        sequence: from 1 on, within the subscription.
        before: the state until then; null for the first.
    """

    subscription: str
    sequence: int
    at: datetime
    cause: Cause
    state: State
    before: State | None
