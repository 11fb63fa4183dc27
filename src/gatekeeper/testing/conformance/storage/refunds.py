"""Refunds that were asked for here."""

import pytest
from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.refunds import AskedRefund, AskedStatus
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND

ASKED = AskedRefund(
    id="rf_1",
    customer="ada",
    payment_id="pi_1",
    charge_id="ch_1",
    invoice_id="in_1",
    amount_minor=300,
    currency="eur",
    reason="duplicate",
    note="Paid twice.",
    actor="ann@support",
    created_at=NOW,
)
MADE = replace(ASKED, status=AskedStatus.MADE, refund_id="re_1", ended_at=NOW + SECOND)
REFUSED = replace(
    ASKED,
    id="rf_2",
    customer=None,
    invoice_id=None,
    order_id="ord_1",
    status=AskedStatus.REFUSED,
    created_at=NOW + HOUR,
    ended_at=NOW + DAY,
    last_error="Stripe refused it.",
)
OPEN = replace(ASKED, id="rf_3", payment_id="pi_2", created_at=NOW + HOUR)


def _fill(tx: Transaction) -> None:
    for one in (OPEN, MADE, REFUSED):
        assert tx.refunds.insert(one)


class RefundConformance:
    """What every store must do with refunds. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_refund_comes_back_as_written(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.refunds.get("rf_1")) is None
        assert await store.write(lambda tx: tx.refunds.insert(ASKED))
        assert not await store.write(lambda tx: tx.refunds.insert(replace(ASKED, amount_minor=1)))
        assert await store.read(lambda tx: tx.refunds.get("rf_1")) == ASKED
        await store.write(lambda tx: tx.refunds.save(MADE))
        assert await store.write(lambda tx: tx.refunds.get("rf_1", lock=True)) == MADE
        with pytest.raises(NotFoundError):
            await store.write(lambda tx: tx.refunds.save(REFUSED))

    async def test_the_refunds_of_a_payment_come_in_their_order(self, store: Store) -> None:
        await store.write(_fill)
        found = await store.read(lambda tx: tx.refunds.of_payment("pi_1"))
        assert list(found) == [MADE, REFUSED]
        assert list(await store.read(lambda tx: tx.refunds.of_payment("pi_9"))) == []

    async def test_refunds_are_known_by_stripes_ids(self, store: Store) -> None:
        await store.write(_fill)
        found = await store.read(lambda tx: tx.refunds.made({"re_1", "re_9"}))
        assert dict(found) == {"re_1": MADE}
        assert dict(await store.read(lambda tx: tx.refunds.made([]))) == {}

    async def test_what_stripe_has_not_made_is_listed_the_newest_first(self, store: Store) -> None:
        await store.write(_fill)
        first = await store.read(lambda tx: tx.refunds.unmade(1))
        rest = await store.read(lambda tx: tx.refunds.unmade(9, first[0].place))
        assert [*first, *rest] == [OPEN, REFUSED]
        assert list(await store.read(lambda tx: tx.refunds.unmade(9, customer="ada"))) == [OPEN]
        refused = await store.read(lambda tx: tx.refunds.unmade(9, status="refused"))
        assert list(refused) == [REFUSED]

    async def test_an_erasure_wipes_the_note(self, store: Store) -> None:
        await store.write(_fill)
        own = replace(OPEN, id="rf_4", customer="bob", actor="ada")
        await store.write(lambda tx: tx.refunds.insert(own))
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW + DAY))
        given = await store.read(lambda tx: tx.refunds.get("rf_4"))
        assert given == replace(own, actor="erased_1")
        kept = await store.read(lambda tx: tx.refunds.get("rf_1"))
        assert kept == replace(MADE, customer="erased_1", note="")
        assert await store.read(lambda tx: tx.refunds.get("rf_2")) == REFUSED
