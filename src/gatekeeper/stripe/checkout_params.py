"""What a checkout session is asked for, and what it may be asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from gatekeeper.catalog import PriceEntry
from gatekeeper.errors import InvalidAmountError, InvalidInputError
from gatekeeper.storage.records import Purchase
from gatekeeper.types import MAX_AMOUNT, check_amount

PURCHASE_ID: Final = "{PURCHASE_ID}"
"""What stands for the purchase's id in a success URL, as Stripe has {CHECKOUT_SESSION_ID}."""

MAX_CHARGE_MINOR: Final = 99_999_999
"""The largest amount that one payment can have in most currencies
(https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts)."""

MAX_URL_CHARS: Final = 5_000


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """The request for a session, but for whose it is at Stripe.

    Attributes:
        price_id: Stripe's id of the price.
        metered: Stripe's ids of the prices of the plan's overage.
        trial_days: None is no trial.
        success_url: with `PURCHASE_ID` in it.
        discount: a coupon or promotion code, as Stripe names it; None is none.
        takes_codes: whether people can type a promotion code on Stripe's page.
    """

    purchase: Purchase
    price_id: str
    metered: Sequence[str]
    trial_days: int | None
    success_url: str
    cancel_url: str
    discount: Mapping[str, str] | None = None
    takes_codes: bool = False

    def idempotency_key(self, stripe_customer: str) -> str:
        """Another Stripe customer, trial, discount or try is another request; all else is the
        same."""
        tried = self.purchase.checkout_session_id or "first"
        if self.discount is not None:
            tried += "-" + "-".join(self.discount.values())
        key = f"gatekeeper-{self.purchase.id}-{self.trial_days or 0}-{stripe_customer}-{tried}"
        return key[:255]

    def params(self, stripe_customer: str) -> dict[str, Any]:
        """Its parameters for this Stripe customer."""
        noted = {"gatekeeper_purchase": self.purchase.id}  # for people; nothing is read from it
        params: dict[str, Any] = {
            "mode": self.purchase.mode,
            "customer": stripe_customer,
            "client_reference_id": self.purchase.id,
            "line_items": [
                {"price": self.price_id, "quantity": self.purchase.quantity},
                *({"price": one} for one in self.metered),
            ],
            "metadata": noted,
        }
        if self.purchase.mode == "payment":
            params["payment_intent_data"] = {"metadata": noted}
        else:
            trial = {} if self.trial_days is None else {"trial_period_days": self.trial_days}
            params["subscription_data"] = {"metadata": noted, **trial}
        if self.discount is not None:
            params["discounts"] = [dict(self.discount)]  # and then Stripe takes no codes beside it
        elif self.takes_codes:
            params["allow_promotion_codes"] = True
        params["success_url"] = with_purchase(self.success_url, self.purchase.id)
        params["cancel_url"] = self.cancel_url
        return params


def with_purchase(url: str, purchase_id: str) -> str:
    """A success URL with the purchase's id in its place."""
    return url.replace(PURCHASE_ID, purchase_id)


def check_quantity(entry: PriceEntry, quantity: int) -> None:
    """Refuse what can't be charged, or not be granted.

    Raises:
        InvalidAmountError.
    """
    check_amount(quantity, "The quantity")
    grants = () if entry.pack is None else entry.pack.amounts
    if entry.price.amount_minor * quantity > MAX_CHARGE_MINOR and quantity > 1:
        raise InvalidAmountError(f"{quantity} times {entry.price.lookup_key!r} can't be charged.")
    if quantity * max((grant.amount for grant in grants), default=1) > MAX_AMOUNT:
        raise InvalidAmountError(f"{quantity} times {entry.price.lookup_key!r} can't be granted.")


def check_url(url: str) -> None:
    """Refuse what Stripe could not send a browser to, before anything is written.

    Raises:
        InvalidInputError.
    """
    fine = isinstance(url, str) and len(url) <= MAX_URL_CHARS and url.isprintable()
    try:
        fine = fine and urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).netloc)
    except ValueError:  # brackets that are no IPv6 address
        fine = False
    if not fine:
        raise InvalidInputError("A URL to return to must be an absolute http or https URL.")
