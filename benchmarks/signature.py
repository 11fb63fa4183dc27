"""Webhook intake: signature check and envelope, beside `stripe.Webhook.construct_event`.

Both are given the same bytes, header and secret. Stripe's library builds an object for every part
of the event; we read what intake needs and fetch the state later, so the comparison is of what an
endpoint pays until it can answer 2xx, not of the same work. The HMAC alone is the floor: nobody
can verify for less.
"""

import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.table import Row, less_cpu, measure, repeated
from gatekeeper.errors import WebhookError
from gatekeeper.stripe.signature import sign, verify
from gatekeeper.stripe.webhooks.envelope import MAX_BODY_BYTES, parse

AIM: Final = 50
SIZES_KIB: Final = (2, 5, 10, 50)
EVENT_ID: Final = "evt_1SVxQhKYlo2CUI79vXWyEfGh"
INVOICE_ID: Final = "in_1SVxQfKYlo2CUI79vXWyAbCd"
_SECRET: Final = "whsec_" + "benchmark" * 4  # signs nothing but this module's bodies
_TOLERANCE_SECONDS: Final = 3_600  # the run may take longer than the usual five minutes


def run() -> list[Row]:
    """Compare the two on events of several sizes, then show what refusals cost."""
    rows: list[Row] = []
    for size_kib in SIZES_KIB:
        rows += _compare(make_event(size_kib * 1_024))
    return rows + _refusals()


def make_event(size_bytes: int) -> bytes:
    """An `invoice.paid` of about `size_bytes`, indented as Stripe sends it; more lines, more bytes.

    Below the size of an invoice it is a `customer.updated` of 1.9 KiB.
    """
    invoice = {"type": "invoice.paid", "object": _INVOICE}
    base = invoice if size_bytes >= 5_000 else {"type": "customer.updated", "object": _CUSTOMER}
    lines: list[dict[str, Any]] = []
    body = _render(base, lines)
    while len(body) < size_bytes - 800:  # half a line
        lines.append(_LINE | {"id": f"il_1SVxQfKYlo2CUI79Wy{len(lines):06}"})
        body = _render(base, lines)
    return body


def _compare(body: bytes) -> list[Row]:
    import stripe

    now = datetime.now(UTC)
    header = sign(body, _SECRET, now)
    signed = f"{int(time.time())}.".encode() + body
    key = _SECRET.encode()

    def theirs() -> object:
        return stripe.Webhook.construct_event(
            body, header, _SECRET, tolerance=_TOLERANCE_SECONDS, api_key="sk_test_x"
        )

    def ours() -> object:
        verify(body, header, (_SECRET,), datetime.now(UTC), _TOLERANCE_SECONDS)
        return parse(body)

    stripe_cost, our_cost, floor = measure(
        repeated(theirs),
        repeated(ours),
        repeated(lambda: hmac.digest(key, signed, "sha256")),
    )
    size = f"{len(body) / 1_024:5.1f} KiB"
    return [
        Row(f"{size}  construct_event", stripe_cost.cells()),
        Row(f"{size}  verify + envelope", our_cost.cells() | less_cpu(our_cost, stripe_cost, AIM)),
        Row(f"{size}  the HMAC alone", floor.cells()),
    ]


def _refusals() -> list[Row]:
    now = datetime.now(UTC)
    body = make_event(10 * 1_024)
    good = sign(body, _SECRET, now)
    largest = b'{"id":"evt_1","a":' + b"[" * (MAX_BODY_BYTES - 100)
    cases = {
        "refused: forged signature, 10 KiB": (body, good[:-1] + "x"),
        "refused: 100,000 signatures": (body, good + ",v1=00" * 100_000),
        "refused: 16 wrong signatures": (body, good.split(",")[0] + f",v1={'0' * 64}" * 16),
        "refused: 1 MiB of nesting, signed": (largest, sign(largest, _SECRET, now)),
    }
    rows: list[Row] = []
    for subject, (case, header) in cases.items():

        def refuse(body: bytes = case, header: str = header) -> None:
            try:
                verify(body, header, (_SECRET,), now, _TOLERANCE_SECONDS)
                parse(body)
            except WebhookError:
                return
            raise AssertionError("a request that must be refused was accepted")

        rows.append(Row(subject, measure(repeated(refuse))[0].cells()))
    return rows


def _render(base: dict[str, Any], lines: list[dict[str, Any]]) -> bytes:
    subject = dict(base["object"])
    if lines:
        url = f"/v1/invoices/{INVOICE_ID}/lines"
        subject["lines"] = {"object": "list", "data": lines, "has_more": False, "url": url}
    event = {
        "id": EVENT_ID,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_795_168_800,
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": "0f7f5d6e-7a0b-4f5c-9f4e-1d2c3b4a5968"},
        "type": base["type"],
    }
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


_ADDRESS: Final = {
    "city": "Zürich",
    "country": "CH",
    "line1": "Bahnhofstrasse 1",
    "line2": None,
    "postal_code": "8001",
    "state": None,
}

_CUSTOMER: Final[dict[str, Any]] = {
    "id": "cus_TSabcdefghijkl",
    "object": "customer",
    "address": _ADDRESS,
    "balance": 0,
    "created": 1_795_000_000,
    "currency": "eur",
    "default_source": None,
    "delinquent": False,
    "description": "Example Records GmbH",
    "discount": None,
    "email": "accounts@example.com",
    "invoice_prefix": "0759376C",
    "invoice_settings": {
        "custom_fields": None,
        "default_payment_method": "pm_1SVxQdKYlo2CUI79KJnqQwErT",
        "footer": None,
        "rendering_options": None,
    },
    "livemode": False,
    "metadata": {
        "customer": "org_42",
        "signed_up_from": "landing page",
        "campaign": "autumn 2026",
        "sales_contact": "Petra Müller",
        "crm_id": "0061t00000XyZaBAAV",
    },
    "name": "Jenny Rösen",
    "next_invoice_sequence": 25,
    "phone": "+41 44 000 00 00",
    "preferred_locales": ["de-CH", "en"],
    "shipping": {"address": _ADDRESS, "name": "Jenny Rösen", "phone": None},
    "tax_exempt": "none",
    "test_clock": None,
}

_LINE: Final[dict[str, Any]] = {
    "id": "",
    "object": "line_item",
    "amount": 999,
    "currency": "eur",
    "description": "1 × Pro (at €9.99 / month)",
    "discount_amounts": [],
    "discountable": True,
    "discounts": [],
    "invoice": INVOICE_ID,
    "livemode": False,
    "metadata": {},
    "parent": {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": "sub_1SVxQeKYlo2CUI79IjKlMnOp",
            "subscription_item": "si_TSabcdefghijkl",
        },
        "type": "subscription_item_details",
    },
    "period": {"end": 1_797_760_800, "start": 1_795_168_800},
    "pretax_credit_amounts": [],
    "pricing": {
        "price_details": {
            "price": "price_1SVxQaKYlo2CUI79QrStUvWx",
            "product": "prod_TSabcdefghijkl",
        },
        "type": "price_details",
        "unit_amount_decimal": "999",
    },
    "quantity": 1,
    "taxes": [],
}

_INVOICE: Final[dict[str, Any]] = {
    "id": INVOICE_ID,
    "object": "invoice",
    "account_country": "CH",
    "account_name": "Example Records GmbH",
    "amount_due": 999,
    "amount_overpaid": 0,
    "amount_paid": 999,
    "amount_remaining": 0,
    "amount_shipping": 0,
    "attempt_count": 1,
    "attempted": True,
    "auto_advance": False,
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "billing_reason": "subscription_cycle",
    "collection_method": "charge_automatically",
    "created": 1_795_168_790,
    "currency": "eur",
    "customer": "cus_TSabcdefghijkl",
    "customer_address": _ADDRESS,
    "customer_email": "accounts@example.com",
    "customer_name": "Jenny Rösen",
    "customer_tax_exempt": "none",
    "default_tax_rates": [],
    "discounts": [],
    "ending_balance": 0,
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/test_YWNjdF8xLF9UU2FiY2RlZmdoaWprbA",
    "invoice_pdf": "https://pay.stripe.com/invoice/acct_1/test_YWNjdF8xLF9UU2FiY2RlZmdoaWprbA/pdf",
    "issuer": {"type": "self"},
    "lines": {"object": "list", "data": []},
    "livemode": False,
    "metadata": {"customer": "org_42"},
    "number": "0759376C-0024",
    "parent": {
        "quote_details": None,
        "subscription_details": {
            "metadata": {"customer": "org_42"},
            "subscription": "sub_1SVxQeKYlo2CUI79IjKlMnOp",
        },
        "type": "subscription_details",
    },
    "payment_settings": {"default_mandate": None, "payment_method_types": None},
    "period_end": 1_795_168_800,
    "period_start": 1_792_490_400,
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "starting_balance": 0,
    "status": "paid",
    "status_transitions": {
        "finalized_at": 1_795_168_799,
        "marked_uncollectible_at": None,
        "paid_at": 1_795_168_800,
        "voided_at": None,
    },
    "subtotal": 999,
    "subtotal_excluding_tax": 999,
    "total": 999,
    "total_discount_amounts": [],
    "total_excluding_tax": 999,
    "total_taxes": [],
    "webhooks_delivered_at": 1_795_168_791,
}
