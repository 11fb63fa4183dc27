"""Early fraud warnings: the card's issuer says that a charge may be fraudulent.

Source: Stripe's page "Early fraud warnings"; API reference, "Early Fraud Warning": one is
actionable while its charge has neither been disputed nor fully refunded.
"""

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

KIND = "radar.early_fraud_warning"


def warn(state: State, charge: Obj, fraud_type: str = "unauthorized_use_of_card") -> Obj:
    """The issuer warns of a charge."""
    made: Obj = {
        "id": state.ids.new("issfr"),
        "object": KIND,
        "actionable": not (charge["disputed"] or charge["refunded"]),
        "charge": charge["id"],
        "created": state.now(),
        "fraud_type": fraud_type,
        "livemode": state.settings.livemode,
    }
    if charge["payment_intent"] is not None:
        made["payment_intent"] = charge["payment_intent"]
    state.store.add(KIND, made)
    state.emit(f"{KIND}.created", made)
    return made


def settle(state: State, charge: Obj) -> None:
    """The charge has been disputed or fully refunded: nothing can be done about it any more."""
    for warning in state.store.where(KIND, charge=charge["id"], actionable=True):
        with state.changing(warning, f"{KIND}.updated"):
            warning["actionable"] = False
