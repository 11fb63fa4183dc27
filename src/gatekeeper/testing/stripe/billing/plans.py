"""What a new subscription is to be, and whether it can be."""

from dataclasses import dataclass, field

from gatekeeper.testing.stripe.billing.discounts import Reduction
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.store import Obj


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a new subscription is to be. `paid_by` is an intent that has already been confirmed."""

    customer: Obj
    items: list[tuple[Obj, int | None, dict[str, str]]]
    """(price, quantity, metadata); no quantity for a metered price."""
    metadata: dict[str, str] = field(default_factory=dict)
    description: str | None = None
    default_payment_method: str | None = None
    save_default: bool = False
    trial_end: int | None = None
    missing_payment_method: str = "create_invoice"
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    collection_method: str = "charge_automatically"
    days_until_due: int | None = None
    behavior: str = "allow_incomplete"
    off_session: bool = False
    paid_by: Obj | None = None
    billing_mode: str = "flexible"
    schedule: str | None = None
    reductions: list[Reduction] = field(default_factory=list)
    checkout_session: str | None = None
    payment_method_types: list[str] | None = None
    sharing: Obj = field(default_factory=dict)
    """`application_fee_percent`, `on_behalf_of` and `transfer_data`, as the API takes them."""


def check(plan: Start) -> None:
    """Refuse what cannot be a subscription."""
    if not plan.items:
        raise invalid("Missing required param: items.", "items", "parameter_missing")
    terms = set()
    for index, (price, _, _) in enumerate(plan.items):
        if price["recurring"] is None:
            raise invalid(
                f"The price specified is set to `type=one_time` but this field only accepts prices"
                f" with `type=recurring`: {price['id']}",
                f"items[{index}][price]",
            )
        if not price["active"]:
            raise invalid(
                f"The price specified is inactive: {price['id']}", f"items[{index}][price]"
            )
        recurring = price["recurring"]
        terms.add((price["currency"], recurring["interval"], recurring["interval_count"]))
    if len(terms) > 1:
        raise invalid(
            "All prices on a subscription must share a currency and an interval.", "items"
        )


def check_method(plan: Start, due: int) -> None:
    """Refuse to bill somebody at once who has nothing to pay with."""
    own = plan.default_payment_method
    default = plan.customer["invoice_settings"]["default_payment_method"]
    if (
        due
        and plan.behavior in ("allow_incomplete", "error_if_incomplete")
        and plan.paid_by is None
        and plan.collection_method == "charge_automatically"
        and (own or default) is None
    ):
        raise invalid(
            "This customer has no attached payment source or default payment method."
            " Please consider adding a default payment method.",
            code="resource_missing",
        )
