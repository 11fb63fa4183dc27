"""`expand[]`: ids become objects, and fields that are left out by default are included.

Source: Stripe's API reference, "Expanding Responses" (at most four levels).
"""

import copy
from collections.abc import Callable
from typing import Any

from gatekeeper.testing.stripe.core.errors import invalid
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

MAX_LEVELS = 4
MAX_PATHS = 20

# Which kind of object an id in a field of this name is.
_KIND_OF_FIELD = {
    "account": "account",
    "application_fee": "application_fee",
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "coupon": "coupon",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "default_price": "price",
    "destination": "account",
    "discount": "discount",
    "discounts": "discount",
    "failure_balance_transaction": "balance_transaction",
    "invoice": "invoice",
    "latest_charge": "charge",
    "latest_invoice": "invoice",
    "on_behalf_of": "account",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "pending_setup_intent": "setup_intent",
    "price": "price",
    "product": "product",
    "promotion_code": "promotion_code",
    "review": "review",
    "schedule": "subscription_schedule",
    "setup_intent": "setup_intent",
    "source_refund": "refund",
    "source_transfer_reversal": "transfer_reversal",
    "subscription": "subscription",
    "transfer": "transfer",
    "transfer_reversal": "transfer_reversal",
}

# Ids that stay ids, whatever their field's name says elsewhere: (object, field).
_NEVER = {
    ("charge", "payment_method"),
    ("billing_portal.session", "customer"),
    ("subscription_item", "subscription"),
}

# What moved the money, by the beginning of its id.
_SOURCES = {
    "ch": "charge",
    "du": "dispute",
    "fee": "application_fee",
    "fr": "fee_refund",
    "po": "payout",
    "py": "charge",
    "pyr": "refund",
    "re": "refund",
    "tr": "transfer",
    "trr": "transfer_reversal",
}

# What is left out where there is none: to expand it then is no error.
_SOMETIMES = {
    ("charge", "transfer"),
    ("radar.early_fraud_warning", "payment_intent"),
    ("refund", "failure_balance_transaction"),
    ("review", "payment_intent"),
}

Include = Callable[[State, Obj], Any]


class Expander:
    """Expands answers. Resource files register what can be included with `includable`."""

    def __init__(self) -> None:
        self._includes: dict[tuple[str, str], Include] = {}

    def includable(self, object_name: str, field: str, make: Include) -> None:
        """Declare a field that appears only when it is asked for."""
        self._includes[object_name, field] = make

    def apply(self, state: State, answer: Obj, paths: list[str]) -> Obj:
        """A copy of `answer` with every path expanded; a path that leads nowhere is a 400."""
        answer = copy.deepcopy(answer)
        if len(paths) > MAX_PATHS:
            raise invalid(f"You cannot expand more than {MAX_PATHS} properties.", "expand")
        for path in paths:
            steps = path.split(".")
            if len([step for step in steps if step != "data"]) > MAX_LEVELS:
                raise invalid(
                    f"You cannot expand more than {MAX_LEVELS} levels of a property ({path}).",
                    "expand",
                )
            self._walk(state, answer, steps, path, answer.get("object", ""))
        return answer

    def _walk(self, state: State, here: Any, steps: list[str], path: str, name: str) -> None:
        if not steps or here is None:
            return
        if isinstance(here, list):
            for element in here:
                self._walk(state, element, steps, path, name)
            return
        if not isinstance(here, dict):
            raise self._refusal(path)
        if here.get("deleted"):
            return
        name = here.get("object", name)
        step, rest = steps[0], steps[1:]
        if step not in here and not self._include(state, here, name, step, path):
            return
        value = here.get(step)
        if isinstance(value, str):
            here[step] = value = self._resolve(state, name, step, value, path)
        elif step == "discounts" and isinstance(value, list):
            here[step] = value = [
                self._resolve(state, name, step, one, path) if isinstance(one, str) else one
                for one in value
            ]
        elif not rest and not isinstance(value, dict | list) and value is not None:
            raise self._refusal(path)
        self._walk(state, value, rest, path, name if isinstance(here, dict) else "")

    def _include(self, state: State, here: Obj, name: str, step: str, path: str) -> bool:
        """Put in what is left out by default; False: there is nothing of it, which is no error."""
        make = self._includes.get((name, step))
        if make is not None:
            here[step] = copy.deepcopy(make(state, here))
        elif (name, step) in _SOMETIMES:
            return False
        elif step not in _KIND_OF_FIELD or "object" in here:
            raise self._refusal(path)
        return True

    def _resolve(self, state: State, name: str, step: str, identifier: str, path: str) -> Obj:
        kind = _KIND_OF_FIELD.get(step)
        if (name, step) == ("balance_transaction", "source"):
            kind = _SOURCES.get(identifier.partition("_")[0])
        if kind is None or (name, step) in _NEVER:
            raise self._refusal(path)
        found = state.store.find(kind, identifier)
        if found is None:
            raise self._refusal(path)
        # A discount keeps the coupon that it was made of, when that has been deleted.
        return copy.deepcopy(state.store.hidden(found).get("was") or found)

    @staticmethod
    def _refusal(path: str) -> Exception:
        return invalid(f"This property cannot be expanded ({path}).", "expand")
