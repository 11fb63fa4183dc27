"""The events that we ask for are events that Stripe has, and each kind of object has some."""

import re
from pathlib import Path

import stripe

from gatekeeper.projection.shapes import SHAPES
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.webhooks import EVENT_TYPES
from gatekeeper.stripe.webhooks.handlers import mirror

OF_PREFIX = {
    "account": "account.",
    "charge": "charge.",
    "checkout.session": "checkout.session.",
    "customer": "customer.",
    "dispute": "charge.dispute.",
    "fee_refund": "application_fee.refund.",
    "invoice": "invoice.",
    "radar.early_fraud_warning": "radar.early_fraud_warning.",
    "refund": "refund.",
    "subscription": "customer.subscription.",
    # A reversal has no event of its own: its transfer's is sent.
    "transfer_reversal": "transfer.reversed",
}


def test_stripe_knows_every_event_that_is_asked_for() -> None:
    source = Path(stripe.__file__).parent / "params" / "_webhook_endpoint_create_params.py"
    known = set(re.findall(r'"([a-z_0-9.]+\.[a-z_.]+)"', source.read_text()))
    assert len(known) > 200
    assert set(EVENT_TYPES) <= known


def test_every_kind_that_is_copied_has_events_or_comes_with_another() -> None:
    inside = {kind for shape in SHAPES.values() for _, kind in shape.inside}
    for kind in SHAPES:
        prefix = OF_PREFIX.get(kind, f"{kind}.")
        told = any(name.startswith(prefix) for name in EVENT_TYPES)
        assert told or kind in inside, kind
    assert set(SHAPES) - set(mirror.KINDS) == {"fee_refund", "transfer_reversal"}
    assert set(mirror.KINDS) <= set(KINDS)
