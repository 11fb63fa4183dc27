"""The kinds of Stripe's objects that this library fetches, and where the API keeps them.

A kind is what the object calls itself (its `object`), for example "invoice" or "checkout.session".
"""

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """Where objects of a kind are found.

    Attributes:
        path: of the collection; an object's own is this with its id.
        expand: what comes with a fetch besides the object itself.
        lists: the lists inside it of which Stripe sends the first page alone: the field, and the
            path of the whole, with the object's id in place of `{id}`.
    """

    path: str
    expand: tuple[str, ...] = ()
    lists: tuple[tuple[str, str], ...] = ()


_LINES: Final = ("lines", "/v1/invoices/{id}/lines")
_BALANCE: Final = ("balance_transaction",)
_BOTH_BALANCES: Final = (*_BALANCE, "failure_balance_transaction")

KINDS: Final[dict[str, Kind]] = {
    "account": Kind("/v1/accounts"),
    "application_fee": Kind(
        "/v1/application_fees",
        expand=(*_BALANCE, "refunds.data.balance_transaction"),
        lists=(("refunds", "/v1/application_fees/{id}/refunds"),),
    ),
    "balance_transaction": Kind("/v1/balance_transactions"),
    "charge": Kind("/v1/charges", expand=_BALANCE),
    "checkout.session": Kind("/v1/checkout/sessions", expand=("line_items",)),
    "customer": Kind("/v1/customers"),
    "dispute": Kind("/v1/disputes"),
    "invoice": Kind("/v1/invoices", expand=("payments",), lists=(_LINES,)),
    "invoice_payment": Kind("/v1/invoice_payments"),
    "payment_intent": Kind("/v1/payment_intents"),
    "payment_method": Kind("/v1/payment_methods"),
    "payout": Kind("/v1/payouts", expand=_BOTH_BALANCES),
    "price": Kind("/v1/prices"),
    "product": Kind("/v1/products"),
    "radar.early_fraud_warning": Kind("/v1/radar/early_fraud_warnings"),
    "refund": Kind("/v1/refunds", expand=_BOTH_BALANCES),
    "review": Kind("/v1/reviews"),
    "setup_intent": Kind("/v1/setup_intents"),
    "subscription": Kind(
        "/v1/subscriptions",
        expand=("latest_invoice",),
        lists=(("items", "/v1/subscription_items?subscription={id}"),),
    ),
    "subscription_schedule": Kind("/v1/subscription_schedules"),
    "transfer": Kind(
        "/v1/transfers",
        expand=(*_BALANCE, "reversals.data.balance_transaction"),
        lists=(("reversals", "/v1/transfers/{id}/reversals"),),
    ),
}
