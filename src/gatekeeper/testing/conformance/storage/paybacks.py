"""What sellers give back."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.paybacks import Payback, PaybackStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW, SECOND

OWED = Payback(
    id="refund/re_1",
    order_id="order_1",
    customer="ada",
    destination="acct_1",
    owed_id="sale_order_1",
    amount_minor=400,
    currency="eur",
    status=PaybackStatus.OWED,
    created_at=NOW,
    due_at=NOW,
)
MADE = replace(
    OWED,
    status=PaybackStatus.MADE,
    transfer_id="tr_1",
    reversal_id="trr_1",
    attempts=2,
    last_error="Stripe refused it.",
)


class PaybackConformance:
    """What every store must do with paybacks. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_payback_comes_back_as_written(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.paybacks.get("refund/re_1")) is None
        assert await store.write(lambda tx: tx.paybacks.insert(OWED))
        assert not await store.write(lambda tx: tx.paybacks.insert(replace(OWED, amount_minor=1)))
        assert await store.read(lambda tx: tx.paybacks.get("refund/re_1")) == OWED
        await store.write(lambda tx: tx.paybacks.save(MADE))
        assert await store.write(lambda tx: tx.paybacks.get("refund/re_1", lock=True)) == MADE
        with pytest.raises(NotFoundError):
            await store.write(lambda tx: tx.paybacks.save(replace(OWED, id="refund/re_9")))

    async def test_a_payback_that_is_due_is_claimed_by_one_caller(self, store: Store) -> None:
        rows = [
            replace(OWED, id="dispute/du_1", status=PaybackStatus.FAILED, due_at=NOW - HOUR),
            OWED,
            replace(OWED, id="refund/re_2", due_at=NOW + SECOND, created_at=NOW + SECOND),
            replace(MADE, id="refund/re_3", due_at=NOW - HOUR, order_id="order_2"),
            replace(OWED, id="refund/re_4", due_at=NOW - HOUR, status=PaybackStatus.ENDED),
        ]

        def save(tx: Transaction) -> None:
            for row in rows:
                tx.paybacks.insert(row)

        def claim(tx: Transaction) -> list[str]:
            return [one.id for one in tx.paybacks.claim(NOW, NOW + HOUR, 10)]

        await store.write(save)
        found = await asyncio.gather(*(store.write(claim) for _ in range(3)))
        assert sorted(name for names in found for name in names) == ["dispute/du_1", "refund/re_1"]
        unmade = await store.read(lambda tx: [one.id for one in tx.paybacks.unmade(10)])
        assert unmade == ["dispute/du_1", "refund/re_1", "refund/re_2"]
        (first,) = await store.read(lambda tx: tx.paybacks.unmade(1))
        place = (first.created_at, first.id)
        rest = await store.read(lambda tx: [one.id for one in tx.paybacks.unmade(9, place)])
        assert rest == unmade[1:]
        of = await store.read(lambda tx: [one.id for one in tx.paybacks.of_order("order_1")])
        assert of == ["dispute/du_1", "refund/re_1", "refund/re_4", "refund/re_2"]

    async def test_a_payback_of_an_erased_customer_is_the_pseudonyms(self, store: Store) -> None:
        await store.write(lambda tx: tx.paybacks.insert(OWED))
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW))
        found = await store.read(lambda tx: tx.paybacks.get("refund/re_1"))
        assert found == replace(OWED, customer="erased_1")
