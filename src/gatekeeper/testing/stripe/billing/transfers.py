"""Transfers to connected accounts, their reversals, and the fees of the platform.

A transfer arrives as a payment (`py_...`) of the connected account's own; a reversal is a refund of
that. Source: Stripe's pages "Separate charges and transfers" and "Destination charges"; API
reference, "Transfer Reversals" and "Application Fees". Simplified: what arrives at a connected
account makes no events of its own.
"""

from typing import Any

from gatekeeper.testing.stripe.billing import ledger
from gatekeeper.testing.stripe.billing.methods import NO_BILLING_DETAILS
from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.money import money
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.listing import whole
from gatekeeper.testing.stripe.state import State

PATH = "/v1/transfers"
FEES = "/v1/application_fees"


def destination(state: State, identifier: str, param: str) -> Obj:
    """The account that is to be paid, if it can be."""
    found = state.store.need("account", identifier, param)
    if found["capabilities"].get("transfers") != "active":
        raise invalid(
            "Your destination account needs to have at least one of the following capabilities"
            " enabled: transfers, crypto_transfers, legacy_payments",
            param,
            "insufficient_capabilities_for_transfer",
        )
    return found


def transfer(
    state: State,
    account: Obj,
    amount: int,
    currency: str,
    *,
    source: Obj | None = None,
    fee: int = 0,
    **fields: Any,
) -> Obj:
    """Send money to an account: out of the charge `source`, or out of the balance."""
    _check_money(state, amount, currency, source)
    identifier = state.ids.new("tr")
    made: Obj = {
        "id": identifier,
        "object": "transfer",
        "amount": amount,
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": state.now(),
        "currency": currency,
        "description": None,
        "destination": account["id"],
        "livemode": state.settings.livemode,
        "metadata": {},
        "reversals": whole(f"{PATH}/{identifier}/reversals", []),
        "reversed": False,
        "source_transaction": source["id"] if source else None,
        "source_type": "card",
        "transfer_group": source["transfer_group"] if source else None,
        **fields,
    }
    row = ledger.record(state, "transfer", -amount, currency, made, at_once=source is None)
    made["balance_transaction"] = row["id"]
    made["destination_payment"] = _arrive(state.of(account["id"]), made, fee)["id"]
    state.store.add("transfer", made)
    state.emit("transfer.created", made)
    return made


def _check_money(state: State, amount: int, currency: str, source: Obj | None) -> None:
    if source is not None:
        sent = state.store.where("transfer", source_transaction=source["id"])
        if amount + sum(one["amount"] for one in sent) > source["amount_captured"]:
            raise invalid(
                "Transfers using this transaction as a source must not exceed the source amount of"
                f" {money(source['amount_captured'], source['currency'])}.",
                "amount",
            )
        return
    there = ledger.balances(state, "available").get(currency, 0)
    if state.settings.balance_checked and there < amount:
        raise invalid(
            "You have insufficient available funds in your Stripe account.",
            code="balance_insufficient",
        )


def _arrive(seen: State, sent: Obj, fee: int) -> Obj:
    """The payment that the connected account sees."""
    now, livemode = seen.now(), seen.settings.livemode
    made: Obj = {
        "id": seen.ids.new("py"),
        "object": "charge",
        **dict.fromkeys(
            "application application_fee application_fee_amount balance_transaction customer"
            " calculated_statement_descriptor description failure_balance_transaction failure_code"
            " failure_message on_behalf_of outcome payment_intent payment_method"
            " payment_method_details receipt_email receipt_number receipt_url review shipping"
            " statement_descriptor statement_descriptor_suffix transfer_data transfer_group".split()
        ),
        "amount": sent["amount"],
        "amount_captured": sent["amount"],
        "amount_refunded": 0,
        "billing_details": NO_BILLING_DETAILS,
        "captured": True,
        "created": now,
        "currency": sent["currency"],
        "disputed": False,
        "fraud_details": {},
        "livemode": livemode,
        "metadata": {},
        "paid": True,
        "refunded": False,
        "source_transfer": sent["id"],
        "status": "succeeded",
    }
    fees = [ledger.fee(fee, sent["currency"], "Application fee", "application_fee")] if fee else []
    row = ledger.record(
        seen, "payment", sent["amount"], sent["currency"], made, category="charge", fees=fees
    )
    made["balance_transaction"] = row["id"]
    return seen.store.add("charge", made)


def reverse(
    state: State,
    found: Obj,
    amount: int | None = None,
    *,
    refund: Obj | None = None,
    metadata: dict[str, str] | None = None,
) -> Obj:
    """Take back all that is left of a transfer, or `amount`; `refund` is why."""
    left = found["amount"] - found["amount_reversed"]
    amount = left if amount is None else amount
    if left == 0 or amount > left:
        raise invalid(
            f"Reversal amount ({amount}) is greater than unreversed amount ({left}).", "amount"
        )
    made: Obj = {
        "id": state.ids.new("trr"),
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": None,
        "created": state.now(),
        "currency": found["currency"],
        "destination_payment_refund": None,
        "metadata": metadata or {},
        "source_refund": refund["id"] if refund else None,
        "transfer": found["id"],
    }
    row = ledger.record(
        state,
        "transfer_refund",
        amount,
        made["currency"],
        made,
        category="transfer_reversal",
        at_once=True,
    )
    made["balance_transaction"] = row["id"]
    made["destination_payment_refund"] = _leave(state.of(found["destination"]), found, made)["id"]
    state.store.add("transfer_reversal", made)
    with state.changing(found, "transfer.reversed"):
        found["amount_reversed"] += amount
        found["reversed"] = found["amount_reversed"] == found["amount"]
        found["reversals"]["data"].insert(0, made)
    return made


def _leave(seen: State, sent: Obj, reversal: Obj) -> Obj:
    """The refund that the connected account sees."""
    payment = seen.store.get("charge", sent["destination_payment"])
    made: Obj = {
        "id": seen.ids.new("pyr"),
        "object": "refund",
        "amount": reversal["amount"],
        "balance_transaction": None,
        "charge": payment["id"],
        "created": seen.now(),
        "currency": payment["currency"],
        "metadata": {},
        "payment_intent": None,
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": reversal["id"],
        "status": "succeeded",
        "transfer_reversal": None,
    }
    row = ledger.record(
        seen,
        "payment_refund",
        -made["amount"],
        made["currency"],
        made,
        category="refund",
        at_once=True,
    )
    made["balance_transaction"] = row["id"]
    payment["amount_refunded"] += made["amount"]
    payment["refunded"] = payment["amount_refunded"] == payment["amount"]
    return seen.store.add("refund", made)


def charge_fee(state: State, account: str, payment: str, source: Obj | None, terms: Obj) -> Obj:
    """Take the platform's fee of an account's payment; `terms` are its amount and currency and
    `source` is the platform's charge, if there is one. Stripe caps it at what was captured."""
    platform, identifier = state.platform, state.ids.new("fee")
    made: Obj = {
        "id": identifier,
        "object": "application_fee",
        "account": account,
        "amount": terms["amount"],
        "amount_refunded": 0,
        "application": platform.settings.application_id,
        "balance_transaction": None,
        "charge": payment,
        "created": state.now(),
        "currency": terms["currency"],
        "fee_source": {"type": "charge", "charge": payment},
        "livemode": state.settings.livemode,
        "originating_transaction": source["id"] if source else None,
        "refunded": False,
        "refunds": whole(f"{FEES}/{identifier}/refunds", []),
    }
    row = ledger.record(
        platform,
        "application_fee",
        made["amount"],
        made["currency"],
        made,
        category="platform_earning",
    )
    made["balance_transaction"] = row["id"]
    platform.store.add("application_fee", made)
    platform.emit("application_fee.created", made)
    return made


def refund_fee(
    state: State, fee: Obj, amount: int | None = None, metadata: dict[str, str] | None = None
) -> Obj:
    """Give back all that is left of a fee, or `amount`."""
    left = fee["amount"] - fee["amount_refunded"]
    amount = left if amount is None else amount
    if left == 0 or amount > left:
        raise invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on fee ({left}).", "amount"
        )
    made: Obj = {
        "id": state.ids.new("fr"),
        "object": "fee_refund",
        "amount": amount,
        "balance_transaction": None,
        "created": state.now(),
        "currency": fee["currency"],
        "fee": fee["id"],
        "metadata": metadata or {},
    }
    row = ledger.record(
        state,
        "application_fee_refund",
        -amount,
        fee["currency"],
        made,
        category="platform_earning_refund",
        at_once=True,
    )
    made["balance_transaction"] = row["id"]
    # "Funds will be refunded to the Stripe account from which the fee was originally collected."
    seen = state.of(fee["account"])
    ledger.record(seen, "adjustment", amount, fee["currency"], made, category="fee", at_once=True)
    state.store.add("fee_refund", made)
    with state.changing(fee, "application_fee.refunded"):
        fee["amount_refunded"] += amount
        fee["refunded"] = fee["amount_refunded"] == fee["amount"]
        fee["refunds"]["data"].insert(0, made)
    return made
