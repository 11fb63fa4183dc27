"""Refunds over HTTP: hard cases 34, 35, 36 and 39."""

from typing import Any

import pytest

from gatekeeper.errors import DebtOutstandingError
from tests.asgi.billing.back_office.office import ANN, FREE, PACK, REASON, Office

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("parts", [(150, 100), (100, 150)])
async def test_case_34_refunds_of_30_and_20_percent_through_the_api_take_back_half(
    durable_office: Office, parts: tuple[int, int]
) -> None:
    office = durable_office
    charge = await office.buy()
    for amount in parts:
        made = await office.ask("refunds", 201, payment=charge, amount_minor=amount)
        assert (made["status"], made["actor"], made["reason"]) == (
            "succeeded",
            "ann@support",
            REASON,
        )
    await office.settle()
    assert await office.available() == FREE + PACK // 2
    refused = await office.ask("refunds", 409, payment=charge, amount_minor=251)
    assert (refused["code"], refused["left_minor"]) == ("refund_too_large", 250)
    listed = await office.walk("refunds", customer="org_1", status="succeeded")
    assert sorted(one["amount_minor"] for one in listed) == [100, 150]


async def test_case_35_a_refund_through_the_api_that_fails_is_given_back_and_seen(
    durable_office: Office,
) -> None:
    office = durable_office
    charge = await office.buy()
    office.sim.stall_refunds()
    made = await office.ask("refunds", 201, payment=charge, stripe_reason="duplicate")
    assert (made["status"], made["stripe_reason"]) == ("pending", "duplicate")
    await office.settle()
    assert await office.available() == FREE
    office.sim.fail_refund(made["stripe_refund"])
    await office.settle()
    assert await office.available() == FREE + PACK
    seen = await office.get(f"refunds/{made['id']}")
    assert (seen["status"], seen["failure"]) == ("failed", "expired_or_canceled_card")
    assert [one["id"] for one in await office.walk("refunds", status="failed")] == [made["id"]]


async def test_case_36_a_full_refund_through_the_api_of_what_was_spent_is_owed(
    durable_office: Office,
) -> None:
    office = durable_office
    charge = await office.buy()
    async with office.gate.reserve("org_1", "credits", FREE + PACK):
        pass
    await office.ask("refunds", 201, payment=charge)
    await office.settle()
    picture = await office.get("customers/org_1")
    (credits,) = [one for one in picture["accounts"] if one["unit"] == "credits"]
    assert (credits["available"], credits["debt"]) == (0, PACK)
    with pytest.raises(DebtOutstandingError):
        await office.gate.reserve("org_1", "credits", 1)


async def test_case_39_a_refund_through_the_api_beside_a_lost_dispute_is_never_over_all(
    durable_office: Office,
) -> None:
    office = durable_office
    charge = await office.buy()
    await office.ask("refunds", 201, payment=charge, amount_minor=200)
    dispute = office.sim.dispute(charge, amount=300)
    await office.settle()
    assert (await office.ask("refunds", 409, payment=charge))["code"] == "refund_too_large"
    (seen,) = await office.walk("disputes", status="needs_response")
    assert (seen["id"], seen["customer"], seen["amount_minor"]) == (dispute["id"], "org_1", 300)
    assert seen["evidence_due_by"] is not None
    office.sim.close_dispute(dispute["id"], "lost")
    await office.settle()
    assert await office.available() == FREE
    assert (await office.gate.balance("org_1", "credits")).debt == 0
    assert (await office.ask("refunds", 409, payment=charge))["code"] == "refund_too_large"
    assert await office.walk("disputes", status="won") == []
    assert len(await office.walk("disputes", customer="org_1")) == 1


async def test_a_refund_is_made_once_under_its_key(office: Office) -> None:
    charge = await office.buy()
    first = await office.ask("refunds", 201, once="k", payment=charge, amount_minor=100)
    again = await office.ask("refunds", 201, once="k", payment=charge, amount_minor=100)
    assert again["id"] == first["id"]
    refused = await office.ask("refunds", 409, once="k", payment=charge, amount_minor=101)
    assert refused["code"] == "idempotency_conflict"
    assert len(office.sim.events("refund.created")) == 1


REFUSED: tuple[tuple[dict[str, Any], int], ...] = (
    ({}, 400),
    ({"payment": "pi_1", "order": "ord_1"}, 400),
    ({"payment": "ch_none"}, 404),
    ({"invoice": "in_none"}, 404),
    ({"order": "ord_none"}, 404),
    ({"purchase": "pur_none"}, 404),
    ({"payment": "ch_1", "amount_minor": 0}, 400),
    ({"payment": "ch_1", "stripe_reason": "whim"}, 400),
    ({"payment": "ch_1", "reason": " "}, 400),
    ({"payment": "ch_1", "reason": ""}, 400),
    ({"payment": "ch_1", "amount": 1}, 400),
)


async def test_what_can_not_be_refunded_is_refused(office: Office) -> None:
    for body, status in REFUSED:
        await office.ask("refunds", status, **body)
    assert await office.walk("actions") == []


async def test_a_change_without_a_reason_is_refused(office: Office) -> None:
    answer = await office.client.post(
        "/billing/admin/refunds", json={"payment": "ch_1"}, headers=ANN
    )
    assert answer.status_code == 400


async def test_case_38_an_inquiry_and_a_prevented_dispute_hinder_no_refund(
    durable_office: Office,
) -> None:
    """They take nothing: what is refunded beside them is taken back once."""
    office = durable_office
    charge = await office.buy()
    inquiry = office.sim.dispute(charge, amount=500, status="warning_needs_response")
    await office.settle()
    assert await office.available() == FREE + PACK
    await office.ask("refunds", 201, payment=charge, amount_minor=250)
    office.sim.close_dispute(inquiry["id"], "warning_closed")
    await office.settle()
    assert await office.available() == FREE + PACK // 2
    office.sim.dispute(charge, amount=250, status="prevented")
    await office.settle()
    assert await office.available() == FREE + PACK // 2
    assert {one["status"] for one in await office.walk("disputes")} == {
        "warning_closed",
        "prevented",
    }
