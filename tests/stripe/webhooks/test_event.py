"""What is read of an event's snapshot: ids, in any shape, and nothing where there is none."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.event import named_in, stripe_customer_of
from gatekeeper.testing.events import make_event

AT = datetime(2026, 1, 1, tzinfo=UTC)


def stored(obj: dict[str, Any] | None, account: str | None = None) -> InboxEvent:
    event = None if obj is None else make_event("charge.updated", obj, account=account)
    return InboxEvent(
        key=f"{account or ''}/evt_1",
        event_id="evt_1",
        type="charge.updated",
        object_key="test//charge/ch_1",
        object_type="charge",
        object_id="ch_1",
        account=account,
        livemode=False,
        api_version=None,
        created_at=AT,
        received_at=AT,
        due_at=AT,
        payload=None if event is None else json.dumps(event).encode(),
    )


CHARGE = {"id": "ch_1", "object": "charge"}
FEES = "/v1/application_fees"


@pytest.mark.parametrize(
    ("obj", "account", "found"),
    [
        ({**CHARGE, "customer": "cus_1"}, None, "cus_1"),
        ({**CHARGE, "customer": {"id": "cus_1", "object": "customer"}}, None, "cus_1"),
        ({**CHARGE, "customer": None}, None, None),
        ({**CHARGE, "customer": 7}, None, None),
        (CHARGE, None, None),
        ({**CHARGE, "customer": "cus_1"}, "acct_2", None),  # whose cus_1 is not ours
        (None, None, None),  # the payload was purged
    ],
)
def test_the_customer_of_an_event(
    obj: dict[str, Any] | None, account: str | None, found: str | None
) -> None:
    assert stripe_customer_of(stored(obj, account)) == found


@pytest.mark.parametrize(
    ("fee", "found"),
    [("fee_1", "fee_1"), ({"id": "fee_1"}, "fee_1"), (None, None), (7, None), ({"id": 7}, None)],
)
def test_what_a_field_of_an_event_names(fee: Any, found: str | None) -> None:
    assert named_in(stored({**CHARGE, "fee": fee}), "fee", FEES) == found
    assert named_in(stored(None), "fee", FEES) is None


@pytest.mark.parametrize(
    ("related", "found"),
    [
        ({"url": f"{FEES}/fee_1/refunds/fr_1"}, "fee_1"),
        ({"url": f"{FEES}/fee%201"}, "fee 1"),
        ({"url": f"{FEES}/"}, None),
        ({"url": "/v1/refunds/re_1"}, None),
        ({"url": 7}, None),
        ({}, None),
        ("fee_1", None),
    ],
)
def test_what_the_address_of_a_thin_events_object_names(related: Any, found: str | None) -> None:
    thin = msgspec.structs.replace(
        stored(None), payload=json.dumps({"related_object": related}).encode()
    )
    assert named_in(thin, "fee", FEES) == found
