"""What becomes of the money of a charge: Stripe's fee, the seller's share, the platform's fee.

Source: Stripe's pages "Destination charges" (with `application_fee_amount`, all of the charge is
transferred and the fee comes back; `transfer_data[amount]` transfers so much) and "Direct charges";
API reference, "Refunds" (`reverse_transfer` and `refund_application_fee`, in proportion).
"""

from typing import Any

from gatekeeper.testing.stripe.billing import ledger, transfers
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.params import Amount, Fields, Integer, Kind, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

PARAMS: dict[str, Kind] = {
    "application_fee_amount": Integer(0),
    "on_behalf_of": Text(),
    "transfer_data": Fields({"amount": Integer(0), "destination": Text()}, ("destination",)),
    "transfer_group": Text(),
}
"""What a payment intent takes."""


def terms(state: State, params: dict[str, Any], amount: int) -> Obj:
    """An intent's fields, of these parameters."""
    found = {name: params[name] for name in PARAMS if params.get(name) is not None}
    share, fee = found.get("transfer_data"), found.get("application_fee_amount")
    if fee is not None and share is None and state.account is None:
        raise invalid(
            "Can only apply an application_fee_amount when the PaymentIntent is attempting a direct"
            " payment (using an OAuth key or Stripe-Account header) or destination payment (using"
            " `transfer_data[destination]`).",
            "application_fee_amount",
        )
    if share is not None:
        transfers.destination(state, share["destination"], "transfer_data[destination]")
        if fee is not None and share.get("amount") is not None:
            raise invalid(
                "You may not provide the application_fee_amount parameter and the"
                " transfer_data[amount] parameter simultaneously."
            )
        if (share.get("amount") or 0) > amount:
            raise invalid(
                "The transfer_data[amount] must not be greater than the amount.",
                "transfer_data[amount]",
            )
    if found.get("on_behalf_of") is not None:
        state.store.need("account", found["on_behalf_of"], "on_behalf_of")
    return found


SUBSCRIPTION: dict[str, Kind] = {
    "application_fee_percent": Amount(),
    "on_behalf_of": Text(),
    "transfer_data": Fields({"amount_percent": Amount(), "destination": Text()}, ("destination",)),
}
"""What a subscription takes."""


def subscription_terms(state: State, params: dict[str, Any]) -> Obj:
    """A new subscription's fields, of these parameters."""
    found: Obj = {}
    if params.get("application_fee_percent") is not None:
        if state.account is None and params.get("transfer_data") is None:
            raise invalid(
                "You can only apply an application_fee_percent on a connected account, or with"
                " transfer_data.",
                "application_fee_percent",
            )
        found["application_fee_percent"] = float(params["application_fee_percent"])
    share = params.get("transfer_data")
    if share is not None:
        transfers.destination(state, share["destination"], "transfer_data[destination]")
        percent = share.get("amount_percent")
        found["transfer_data"] = {
            "amount_percent": None if percent is None else float(percent),
            "destination": share["destination"],
        }
    if params.get("on_behalf_of") is not None:
        found["on_behalf_of"] = state.store.need("account", params["on_behalf_of"], "on_behalf_of")[
            "id"
        ]
    return found


def invoice_terms(subscription: Obj | None, amount: int) -> Obj:
    """The fields of the intent that pays an invoice of a subscription."""
    if subscription is None:
        return {}
    found: Obj = {"on_behalf_of": subscription["on_behalf_of"]}
    share, percent = subscription["transfer_data"], subscription["application_fee_percent"]
    if percent is not None:
        found["application_fee_amount"] = round(amount * percent / 100)
    if share is not None:
        found["transfer_data"] = {"destination": share["destination"]}
        if share["amount_percent"] is not None:
            found["transfer_data"]["amount"] = round(amount * share["amount_percent"] / 100)
    return found


def taken(state: State, charge: Obj) -> None:
    """A charge was captured: write its money down and send the shares."""
    if state.settings.booking_seconds:
        due = state.now() + state.settings.booking_seconds
        state.agenda.at(due, lambda: _book(state, charge))
    else:
        ledger.charged(state, charge)
    fee = min(charge["application_fee_amount"] or 0, charge["amount_captured"])
    what = {"amount": fee, "currency": charge["currency"]}
    share: Obj | None = charge["transfer_data"]
    made = None
    if share is not None:
        captured = charge["amount_captured"]
        amount = captured if share.get("amount") is None else min(share["amount"], captured)
        charge["transfer_group"] = charge["transfer_group"] or f"group_{charge['payment_intent']}"
        account = state.store.get("account", share["destination"])
        sent = transfers.transfer(
            state, account, amount, charge["currency"], source=charge, fee=fee
        )
        charge["transfer"] = sent["id"]
        if fee:
            made = transfers.charge_fee(
                state, account["id"], sent["destination_payment"], charge, what
            )
    elif fee and state.account is not None:
        made = transfers.charge_fee(state, state.account, charge["id"], None, what)
    if made is not None:
        charge["application_fee"] = made["id"]


def _book(state: State, charge: Obj) -> None:
    with state.changing(charge, "charge.updated"):
        ledger.charged(state, charge)


def check_return(charge: Obj, *, reverse: bool, fee: bool) -> None:
    """Refuse a refund that asks others for money they never had."""
    if reverse and "transfer" not in charge:
        raise invalid(
            f"Cannot reverse transfer on charge {charge['id']} because it does not have an"
            " associated transfer.",
            "reverse_transfer",
        )
    if fee and charge["application_fee"] is None:
        raise invalid(
            f"Cannot refund application fee on charge {charge['id']} because it does not have an"
            " application fee.",
            "refund_application_fee",
        )


def returned(state: State, charge: Obj, refund: Obj, *, reverse: bool, fee: bool) -> None:
    """Take the shares back in proportion to a refund that has been counted on its charge."""
    if reverse:
        sent = state.store.get("transfer", charge["transfer"])
        amount = _part(charge, refund, sent["amount"], sent["amount_reversed"])
        if amount:
            reversal = transfers.reverse(state, sent, amount, refund=refund)
            refund["transfer_reversal"] = reversal["id"]
    if fee:
        taken_fee = state.platform.store.get("application_fee", charge["application_fee"])
        amount = _part(charge, refund, taken_fee["amount"], taken_fee["amount_refunded"])
        if amount:
            transfers.refund_fee(state.platform, taken_fee, amount)


def _part(charge: Obj, refund: Obj, whole: int, gone: int) -> int:
    if charge["refunded"]:
        return whole - gone
    part: int = whole * refund["amount"] // charge["amount_captured"]
    return min(part, whole - gone)
