"""Balance transactions: what each movement of money did to the account's balance.

Source: Stripe's pages "Balance transaction types" and "Reporting categories". Simplified: one fee
for all payments (the settings'), no conversion of currencies, one settlement delay.
"""

from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

KIND = "balance_transaction"


def record(
    state: State,
    type: str,
    amount: int,
    currency: str,
    source: Obj,
    *,
    category: str | None = None,
    description: str | None = None,
    fees: list[Obj] | None = None,
    at_once: bool = False,
) -> Obj:
    """A movement of `amount` minor units (negative: out), caused by the object `source`.

    What comes in is pending until the settings' settlement days are over; `at_once` it is not.
    """
    now, fees = state.now(), fees or []
    fee = sum(one["amount"] for one in fees)
    days = 0 if at_once else state.settings.settlement_days
    made: Obj = {
        "id": state.ids.new("txn"),
        "object": KIND,
        "amount": amount,
        "available_on": now + days * DAY_SECONDS,
        "balance_type": "payments",
        "created": now,
        "currency": currency,
        "description": description,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": fees,
        "net": amount - fee,
        "reporting_category": category or type,
        "source": source["id"],
        "status": "pending" if days else "available",
        "type": type,
    }
    if days:
        state.agenda.at(made["available_on"], lambda: made.update(status="available"))
    return state.store.add(KIND, made, payout=None)


def charged(state: State, charge: Obj) -> None:
    """Write down the money of a charge that was captured; the row stands on the charge."""
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    amount, currency = charge["amount_captured"], charge["currency"]
    settings = state.settings
    share = (amount * settings.fee_basis_points + 5_000) // 10_000  # rounded half up
    fees = [fee(share + settings.fee_fixed, currency, "Stripe processing fees", "stripe_fee")]
    row = record(
        state,
        kind,
        amount,
        currency,
        charge,
        category="charge",
        description=charge["description"],
        fees=fees,
    )
    charge["balance_transaction"] = row["id"]


def fee(amount: int, currency: str, description: str, type: str) -> Obj:
    """A line of `fee_details`."""
    return {
        "amount": amount,
        "application": None,
        "currency": currency,
        "description": description,
        "type": type,
    }


def balances(state: State, status: str) -> dict[str, int]:
    """What is "available" or "pending", by currency."""
    sums: dict[str, int] = {}
    for row in state.store.where(KIND, status=status):
        sums[row["currency"]] = sums.get(row["currency"], 0) + row["net"]
    return sums
