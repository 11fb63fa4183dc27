"""Payouts: available money on its way to the bank, by hand or every day.

Source: Stripe's pages "Receive payouts" and "Payout reconciliation"; API reference, "Payouts". The
first minute of a day (UTC) pays out what is available, where the settings' schedule is "daily".
"""

from gatekeeper.testing.stripe.billing import ledger
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.params import merge_metadata
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

ENDED = ("failed", "canceled")


def pay_out(
    state: State,
    amount: int,
    currency: str,
    *,
    automatic: bool = False,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    method: str = "standard",
) -> Obj:
    """Send available money to the bank, where it arrives after the settings' days."""
    if amount > ledger.balances(state, "available").get(currency, 0):
        raise invalid(
            "You have insufficient funds in your Stripe account for this transfer.",
            code="balance_insufficient",
        )
    arrives = state.now() + state.settings.payout_days * DAY_SECONDS
    made: Obj = {
        "id": state.ids.new("po"),
        "object": "payout",
        **dict.fromkeys(
            "application_fee application_fee_amount balance_transaction failure_balance_transaction"
            " failure_code failure_message original_payout payout_method reversed_by"
            " statement_descriptor".split()
        ),
        "amount": amount,
        "arrival_date": arrives,
        "automatic": automatic,
        "created": state.now(),
        "currency": currency,
        "description": description or ("STRIPE PAYOUT" if automatic else None),
        "destination": "ba_simulator",
        "livemode": state.settings.livemode,
        "metadata": merge_metadata({}, metadata),
        "method": method,
        "reconciliation_status": "in_progress" if automatic else "not_applicable",
        "source_type": "card",
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }
    if automatic:
        _sweep(state, made)
    row = ledger.record(
        state, "payout", -amount, currency, made, description=made["description"], at_once=True
    )
    made["balance_transaction"] = row["id"]
    state.store.add("payout", made)
    state.emit("payout.created", made)
    state.agenda.at(arrives, lambda: _arrive(state, made))
    return made


def _sweep(state: State, payout: Obj) -> None:
    """Note on each row that is paid out in which payout that was."""
    for row in state.store.where(ledger.KIND, currency=payout["currency"], status="available"):
        hidden = state.store.hidden(row)
        if hidden["payout"] is None:
            hidden["payout"] = payout["id"]


def _arrive(state: State, payout: Obj) -> None:
    if payout["status"] != "pending":
        return
    with state.changing(payout, "payout.paid"):
        payout["status"] = "paid"
    if payout["automatic"]:
        with state.changing(payout, "payout.reconciliation_completed"):
            payout["reconciliation_status"] = "completed"


def cancel(state: State, payout: Obj) -> Obj:
    """Call a payout back that has not arrived."""
    if payout["status"] != "pending" or payout["automatic"]:
        raise invalid("Payouts can be canceled only if they are pending and were made by hand.")
    _undo(state, payout, "payout_cancel")
    with state.changing(payout, "payout.canceled"):
        payout["status"] = "canceled"
    return payout


def fail(state: State, payout: Obj, code: str) -> Obj:
    """The bank sends the money back, even after it had arrived."""
    if payout["status"] in ENDED:
        raise ApiError(400, f"A payout that is {payout['status']} cannot fail.")
    _undo(state, payout, "payout_failure")
    with state.changing(payout, "payout.failed"):
        payout.update(status="failed", failure_code=code, failure_message="The bank refused it.")
    return payout


def _undo(state: State, payout: Obj, kind: str) -> None:
    row = ledger.record(
        state, kind, payout["amount"], payout["currency"], payout, category=kind, at_once=True
    )
    payout["failure_balance_transaction"] = row["id"]


def schedule(state: State) -> None:
    """Pay out at the beginning of every day, the platform's money and the accounts'."""
    midnight = (state.now() // DAY_SECONDS + 1) * DAY_SECONDS

    def pay() -> None:
        for seen in state.seen():
            for currency, amount in sorted(ledger.balances(seen, "available").items()):
                if amount > 0:
                    pay_out(seen, amount, currency, automatic=True)
        schedule(state)

    state.agenda.at(midnight, pay)
