"""Copies of Stripe's objects and the history of subscriptions, as a host reads them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gatekeeper import Gatekeeper, SyncGatekeeper
from gatekeeper.errors import InvalidInputError
from gatekeeper.storage.mirror import MirrorObject, SubscriptionChange
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Subscription
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, new_gate
from tests.sdk.hosts import INSERT, async_host, sync_host

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 1, tzinfo=UTC)
STATE = '{"status":"%s","cancel_at":null,"trial_end":null,"collection_paused":false,"items":[]}'


def copy_of(id: str, kind: str = "invoice", days: int = 0, **fields: object) -> MirrorObject:
    made = AT + timedelta(days=days)
    own = {"customer": CUSTOMER, "created_at": made, "facts": '{"number":"A-1"}', "seen_at": AT}
    return MirrorObject(kind=kind, id=id, **{**own, **fields})  # type: ignore[arg-type]


def fill(tx: Transaction) -> None:
    """Two invoices, a payment of the newer, one of a connected account, and a history of two."""
    for one in (
        copy_of("in_1"),
        copy_of("in_2", days=31),
        copy_of("inpay_1", "invoice_payment", parent="invoice/in_2"),
        copy_of("in_2", account="acct_2", customer=None),
        copy_of("inpay_9", "invoice_payment", parent="invoice/in_2", account="acct_2"),
    ):
        tx.mirror.put(one)
    tx.subscriptions.save(
        Subscription(
            id="sub_1",
            customer=CUSTOMER,
            status="canceled",
            started_at=AT,
            anchor=AT,
            collection_paused=False,
            updated_at=AT,
            trial_end=None,
            cancel_at=None,
            ended_at=AT,
            latest_invoice_id=None,
        ),
        [],
    )
    tx.mirror.put(copy_of("sub_1", "subscription", status="canceled"))
    for day, status in enumerate(("active", "canceled")):
        tx.mirror.add_change(
            SubscriptionChange(
                subscription_id="sub_1",
                customer=CUSTOMER,
                at=AT + timedelta(days=day),
                cause="event",
                event_key="/evt_1",
                status=status,
                facts=STATE % status,
            )
        )


@pytest.fixture
async def filled_url(gate_url: str) -> str:
    async with store_for(gate_url) as store:
        await store.write(fill)
    return gate_url


@pytest.fixture
async def gate(filled_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    async with new_gate(filled_url, clock=clock) as opened:
        yield opened


async def test_every_kind_is_read_in_one_way(gate: Gatekeeper) -> None:
    found = await gate.stripe_object("invoice", "in_2")
    assert found is not None
    assert (found.customer, found.account, found.facts) == (CUSTOMER, None, {"number": "A-1"})
    theirs = await gate.stripe_object("invoice", "in_2", account="acct_2")
    assert theirs is not None
    assert (theirs.customer, theirs.account) == (None, "acct_2")
    assert await gate.stripe_object("invoice", "in_9") is None
    first = await gate.stripe_objects(CUSTOMER, "invoice", limit=1)
    rest = await gate.stripe_objects(CUSTOMER, "invoice", after=first[-1])
    assert ([one.id for one in first], [one.id for one in rest]) == (["in_2"], ["in_1"])
    for parent, account, wanted in (
        (found, None, "inpay_1"),
        ("invoice/in_2", None, "inpay_1"),
        (theirs, None, "inpay_9"),
        ("invoice/in_2", "acct_2", "inpay_9"),
    ):
        (payment,) = await gate.stripe_objects_of(parent, "invoice_payment", account=account)
        assert payment.id == wanted


async def test_the_history_comes_in_pages(gate: Gatekeeper) -> None:
    (newest,) = await gate.subscription_history(CUSTOMER, limit=1)
    assert dict(newest.changed) == {"status": ("active", "canceled")}
    (first,) = await gate.subscription_history(CUSTOMER, after=newest)
    assert (first.sequence, first.event_id, first.before) == (1, "evt_1", None)
    (found,) = await gate.subscriptions(CUSTOMER)
    assert (found.id, found.status, found.items) == ("sub_1", "canceled", ())


async def test_what_there_is_not_is_refused(gate: Gatekeeper) -> None:
    with pytest.raises(InvalidInputError, match="No copies are kept of 'coupon'"):
        await gate.stripe_object("coupon", "c_1")
    for limit in (0, 1_001):
        with pytest.raises(InvalidInputError, match="from 1 to 1000"):
            await gate.stripe_objects(CUSTOMER, "invoice", limit=limit)
        with pytest.raises(InvalidInputError, match="from 1 to 1000"):
            await gate.subscription_history(CUSTOMER, limit=limit)


async def test_they_are_read_together_with_the_hosts_own_rows(
    gate: Gatekeeper, filled_url: str
) -> None:
    async with async_host(filled_url) as engine, AsyncSession(engine) as session:
        await session.execute(INSERT, {"id": "in_1"})
        found = await gate.stripe_object("invoice", "in_1", session=session)
        assert found is not None
        listed = await gate.stripe_objects(CUSTOMER, "invoice", session=session)
        assert len(await gate.stripe_objects_of(listed[0], "invoice_payment", session=session)) == 1
        assert len(await gate.subscriptions(CUSTOMER, session=session)) == 1
        assert len(await gate.subscription_history(CUSTOMER, session=session)) == 2
        await session.rollback()


async def test_a_synchronous_host_reads_the_same(filled_url: str, clock: ManualClock) -> None:
    with SyncGatekeeper(new_gate(filled_url, clock=clock)) as billing:
        check(billing, None)
        if filled_url.startswith("sqlite"):
            with sync_host(filled_url) as engine, engine.begin() as connection:
                check(billing, connection)


def check(billing: SyncGatekeeper, session: object) -> None:
    found = billing.stripe_object("invoice", "in_2", session=session)
    assert found is not None
    assert found.name == "invoice/in_2"
    assert len(billing.stripe_objects(CUSTOMER, "invoice", session=session)) == 2
    assert len(billing.stripe_objects_of(found, "invoice_payment", session=session)) == 1
    assert len(billing.subscriptions(CUSTOMER, session=session)) == 1
    assert len(billing.subscription_history(CUSTOMER, session=session)) == 2
