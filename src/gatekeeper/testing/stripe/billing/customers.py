"""Customers, as a call or a checkout makes them."""

from typing import Any

from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def new_customer(state: State, **fields: Any) -> Obj:
    """Make a customer and say so."""
    customer: Obj = {
        "id": state.ids.new("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": state.now(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": state.ids.token(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": state.settings.livemode,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
        **fields,
    }
    state.store.add("customer", customer)
    state.emit("customer.created", customer)
    return customer
