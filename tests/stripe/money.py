"""Charges, refunds and disputes as Stripe has them, for tests."""

from gatekeeper.testing.events import Obj


def charge(id: str = "ch_1", *, amount: int = 500, intent: str | None = "pi_1") -> Obj:
    """A charge that was paid."""
    return {
        "id": id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "currency": "eur",
        "customer": "cus_1",
        "disputed": False,
        "livemode": False,
        "payment_intent": intent,
        "status": "succeeded",
    }


def refund(id: str, amount: int, status: str = "succeeded", *, of: str = "ch_1") -> Obj:
    """A refund of a charge."""
    return {
        "id": id,
        "object": "refund",
        "amount": amount,
        "charge": of,
        "currency": "eur",
        "status": status,
    }


def dispute(status: str, amount: int = 500, *, id: str = "dp_1", of: str = "ch_1") -> Obj:
    """A dispute of a charge."""
    return {
        "id": id,
        "object": "dispute",
        "amount": amount,
        "charge": of,
        "currency": "eur",
        "livemode": False,
        "status": status,
    }
