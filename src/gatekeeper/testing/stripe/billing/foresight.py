"""Payments that would fail, refused before anything is done (`error_if_incomplete`)."""

from gatekeeper.testing.stripe.billing.cards import BankAccount, Card
from gatekeeper.testing.stripe.billing.methods import declined
from gatekeeper.testing.stripe.billing.payments import AUTHENTICATION_REQUIRED, must_authenticate
from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def refuse_unpaid(state: State, subscription: Obj, method: Obj | None, off_session: bool) -> None:
    """Raise what collecting from `method` would come to: a decline, or 3-D Secure. A bank account
    is debited later, so nothing is foreseen of it."""
    if method is None or subscription["collection_method"] != "charge_automatically":
        return
    instrument: Card | BankAccount = state.store.hidden(method)["instrument"]
    if isinstance(instrument, BankAccount):
        return
    decline = instrument.decline
    if must_authenticate(state, method, instrument, off_session):
        if not off_session:
            raise ApiError(
                402,
                "This payment requires additional user action before it can be completed.",
                type="card_error",
                code="subscription_payment_intent_requires_action",
            )
        decline = AUTHENTICATION_REQUIRED
    if decline is not None:
        raise declined(decline)
