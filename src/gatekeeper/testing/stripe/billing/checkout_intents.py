"""The payment intent of a checkout session."""

from typing import Any

from gatekeeper.testing.stripe.billing import payments, takings
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

_INTENT = ("capture_method", "statement_descriptor", "statement_descriptor_suffix")


def intent_for(state: State, session: Obj, customer: Obj | None, amount: int) -> Obj:
    """The session's intent: made when its customer first tries to pay."""
    hidden = state.store.hidden(session)
    found = state.store.find("payment_intent", hidden["intent"])
    if found is not None:
        return found
    data: dict[str, Any] = hidden["payment_intent_data"]
    subscribing = session["mode"] == "subscription"
    sharing = (
        takings.invoice_terms(_shared(state, hidden["subscription_data"]), amount)
        if subscribing
        else takings.terms(state, data, amount)
    )
    intent = payments.new_intent(
        state,
        amount,
        session["currency"],
        owner=("checkout", session["id"]),
        customer=customer["id"] if customer else None,
        description="Subscription creation" if subscribing else data.get("description"),
        metadata=data.get("metadata") or {},
        receipt_email=data.get("receipt_email"),
        setup_future_usage="off_session" if subscribing else data.get("setup_future_usage"),
        **({} if subscribing else {k: data[k] for k in _INTENT if data.get(k) is not None}),
        **sharing,
    )
    hidden["intent"] = intent["id"]
    if not subscribing:
        session["payment_intent"] = intent["id"]
    return intent


def _shared(state: State, data: dict[str, Any]) -> Obj:
    """What a subscription of this data will say of sharing its money."""
    blank = dict.fromkeys(("application_fee_percent", "on_behalf_of", "transfer_data"))
    return {**blank, **takings.subscription_terms(state, data)}
