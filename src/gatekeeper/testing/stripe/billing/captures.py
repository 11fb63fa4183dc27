"""Payments that are authorised now and captured later (`capture_method: manual`).

Source: Stripe's page "Place a hold on a payment method": a card's authorisation lapses after seven
days; what is not captured is released; API reference, "Refunds" (`expired_uncaptured_charge`).
Simplified: one capture, cards alone, no extensions; what a partial capture releases is not shown as
a refund.
"""

from gatekeeper.testing.stripe.billing import refunds, takings
from gatekeeper.testing.stripe.core.clock import DAY_SECONDS
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

AUTHORISED_SECONDS = 7 * DAY_SECONDS


def authorise(state: State, intent: Obj, charge: Obj) -> None:
    """Hold the money of a charge that went through; it lapses by itself."""
    charge.update(captured=False, amount_captured=0)
    intent.update(
        status="requires_capture", amount_capturable=intent["amount"], latest_charge=charge["id"]
    )
    state.emit("charge.succeeded", charge)
    state.emit("payment_intent.amount_capturable_updated", intent)
    state.agenda.at(state.now() + AUTHORISED_SECONDS, lambda: _lapse(state, intent, charge))


def capture(state: State, intent: Obj, amount: int) -> Obj:
    """Take `amount` of what is held and release the rest; the charge."""
    charge = state.store.get("charge", intent["latest_charge"])
    share: Obj | None = intent["transfer_data"]
    with state.changing(charge, "charge.captured"):
        charge.update(
            captured=True,
            amount_captured=amount,
            application_fee_amount=intent["application_fee_amount"],
            transfer_data=share and {"amount": None, **share},
        )
        takings.taken(state, charge)
    intent["amount_capturable"] = 0
    return charge


def release(state: State, intent: Obj) -> None:
    """Give back what is held, for an intent that is being canceled."""
    charge = state.store.get("charge", intent["latest_charge"])
    intent["amount_capturable"] = 0
    with state.changing(charge, "charge.refunded"):
        refunds.release(state, charge, None)


def _lapse(state: State, intent: Obj, charge: Obj) -> None:
    if intent["status"] != "requires_capture":
        return
    intent.update(
        status="canceled",
        amount_capturable=0,
        canceled_at=state.now(),
        cancellation_reason="automatic",
    )
    with state.changing(charge, "charge.expired"):
        refunds.release(state, charge, "expired_uncaptured_charge")
    state.emit("payment_intent.canceled", intent)
