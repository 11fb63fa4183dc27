"""What the subscribing desk answers."""

from datetime import datetime
from typing import Literal

import msgspec

from gatekeeper.services.upcoming import SubscriptionView

When = Literal["now", "period_end"]
"""When a change takes effect: at once, or with the next period."""

Confirms = Literal["payment", "setup"]
"""What a client secret is of: a payment (`stripe.confirmPayment`), or a payment method to keep
(`stripe.confirmSetup`)."""


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """What the page confirms. It is never stored nor logged: whoever has it can pay."""

    client_secret: str
    confirms: Confirms

    def __repr__(self) -> str:
        return f"Secret(confirms={self.confirms!r})"


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that was begun in the page.

    Attributes:
        purchase_id: by this `checkout_status` tells what came of it.
        subscription: as Stripe has it now; `incomplete` until it is paid.
        secret: what is left to be confirmed; None: nothing, since nothing is due.
        amount_due_minor: what the first invoice asks for, in minor units of `currency`.
    """

    purchase_id: str
    subscription: SubscriptionView
    secret: Secret | None
    amount_due_minor: int
    currency: str


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of a change.

    Attributes:
        subscription: as Stripe has it now: with `pending_until`, the change waits for its payment;
            with `upcoming`, for the next period.
        secret: what is left to be confirmed for a change that waits; None: nothing.
    """

    subscription: SubscriptionView
    secret: Secret | None = None


class PreviewLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an invoice that is to come, with what Stripe says of it."""

    description: str | None
    amount_minor: int
    quantity: int | None
    is_proration: bool
    start: datetime
    end: datetime


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a change, or a new subscription, would cost. Nothing has been changed.

    Attributes:
        when: "now" or "period_end".
        at: when it would take effect. Handed to `change` as `as_of` within a quarter of an hour, it
            is billed to the second that this was made for.
        due_now_minor: what would be collected at once.
        subtotal_minor, discount_minor, tax_minor, total_minor: of the invoice that `lines` are of:
            the one that is made at once, or else the next; less than nothing is credited to the
            customer's balance.
        trial_days: of a new subscription that begins with a trial.
    """

    when: When
    at: datetime
    currency: str
    due_now_minor: int
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    lines: tuple[PreviewLine, ...]
    trial_days: int | None = None


class PromotionCode(msgspec.Struct, frozen=True, kw_only=True):
    """What a promotion code takes off: `percent_off` or `amount_off_minor` of `currency`.

    Attributes:
        duration: "once", "repeating" (for `duration_in_months`) or "forever".
        minimum_amount_minor: of the first payment, in `minimum_currency`.
    """

    code: str
    percent_off: float | None
    amount_off_minor: int | None
    currency: str | None
    duration: str
    duration_in_months: int | None
    expires_at: datetime | None
    minimum_amount_minor: int | None
    minimum_currency: str | None
    first_time_only: bool


class SetupStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A payment method that is being saved."""

    id: str
    secret: Secret


class SavedMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A payment method of the customer, as people tell theirs apart. Read from Stripe, not kept.

    Attributes:
        type: "card", "sepa_debit" and so on.
        pays_for: the ids of the running subscriptions that are paid with it.
    """

    id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool
    pays_for: tuple[str, ...]
