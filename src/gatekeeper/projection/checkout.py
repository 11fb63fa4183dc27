"""From Stripe's checkout session to what we keep of it."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gatekeeper.projection.reading import Node


class CheckoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout session as Stripe has it now.

    Attributes:
        mode: `payment`, `subscription` or `setup`.
        status: `open`, `complete` or `expired`; None in API versions that did not have it.
        payment_status: `paid`, `unpaid` or `no_payment_required`: a session can be complete and
            unpaid (https://docs.stripe.com/payments/checkout/fulfill-orders).
    """

    id: str
    livemode: bool
    mode: str
    status: str | None
    payment_status: str
    customer: str | None
    subscription_id: str | None
    payment_intent_id: str | None
    invoice_id: str | None
    amount_total_minor: int | None
    discount_minor: int = 0
    currency: str | None
    created_at: datetime | None
    expires_at: datetime | None

    @property
    def is_settled(self) -> bool:
        """Whether it is complete and nothing is left to be paid: what was bought may be given."""
        return self.status in {None, "complete"} and self.payment_status in {
            "paid",
            "no_payment_required",
        }


def project_checkout_session(value: Mapping[str, object]) -> CheckoutFacts:
    """Read a checkout session of any API version.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    root = Node.root(value, "checkout.session")
    return CheckoutFacts(
        id=root.word("id"),
        livemode=root.flag("livemode"),
        mode=root.word("mode"),
        status=root.maybe_word("status"),
        payment_status=root.word("payment_status"),
        customer=root.maybe_reference("customer"),
        subscription_id=root.maybe_reference("subscription"),
        payment_intent_id=root.maybe_reference("payment_intent"),
        invoice_id=root.maybe_reference("invoice"),
        amount_total_minor=root.maybe_whole("amount_total"),
        discount_minor=_discount(root),
        currency=root.maybe_word("currency"),
        created_at=root.maybe_moment("created"),
        expires_at=root.maybe_moment("expires_at"),
    )


def _discount(root: Node) -> int:
    """What coupons and promotion codes have taken off, by `total_details`."""
    details = root.expanded("total_details")
    return 0 if details is None else details.maybe_whole("amount_discount", minimum=0) or 0
