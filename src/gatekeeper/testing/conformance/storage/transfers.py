"""What is owed to sellers."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.transfers import Transfer, TransferStatus
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW, SECOND

OWED = Transfer(
    id="order_1",
    customer="ada",
    charge_id="ch_1",
    destination="acct_1",
    amount_minor=800,
    currency="eur",
    status=TransferStatus.OWED,
    created_at=NOW,
    due_at=NOW,
)
SENT = replace(
    OWED,
    status=TransferStatus.SENT,
    attempts=2,
    transfer_id="tr_1",
    reversed_minor=300,
    sent_at=NOW + SECOND,
    last_error="Stripe refused it.",
)


class TransferConformance:
    """What every store must do with transfers. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_transfer_comes_back_as_written(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.transfers.get("order_1")) is None
        assert await store.write(lambda tx: tx.transfers.insert(OWED))
        again = replace(OWED, amount_minor=1)
        assert not await store.write(lambda tx: tx.transfers.insert(again))
        assert await store.read(lambda tx: tx.transfers.get("order_1")) == OWED
        assert await store.read(lambda tx: tx.transfers.by_stripe_id("tr_1")) is None
        await store.write(lambda tx: tx.transfers.save(SENT))
        assert await store.write(lambda tx: tx.transfers.get("order_1", lock=True)) == SENT
        assert await store.read(lambda tx: tx.transfers.by_stripe_id("tr_1")) == SENT
        with pytest.raises(NotFoundError):
            await store.write(lambda tx: tx.transfers.save(replace(OWED, id="order_9")))

    async def test_what_is_due_and_not_sent_is_claimed_by_one_caller(self, store: Store) -> None:
        rows = [
            replace(OWED, id="order_2", status=TransferStatus.FAILED, due_at=NOW - HOUR),
            OWED,
            replace(OWED, id="order_3", due_at=NOW + SECOND),
            replace(SENT, id="order_4", due_at=NOW - HOUR),
            replace(OWED, id="order_5", status=TransferStatus.DISCARDED, of_balance=True),
        ]

        def save(tx: Transaction) -> None:
            for row in rows:
                tx.transfers.insert(row)

        def claim(tx: Transaction) -> list[str]:
            return [one.id for one in tx.transfers.claim(NOW, NOW + HOUR, 10)]

        def listed(tx: Transaction) -> list[list[str]]:
            return [[one.id for one in tx.transfers.listed(each, 10)] for each in TransferStatus]

        await store.write(save)
        found = await asyncio.gather(*(store.write(claim) for _ in range(3)))
        assert sorted(name for names in found for name in names) == ["order_1", "order_2"]
        assert await store.read(listed) == [
            ["order_1", "order_3"],
            ["order_2"],
            ["order_4"],
            ["order_5"],
        ]
        assert list(await store.read(lambda tx: tx.transfers.listed(TransferStatus.OWED, 0))) == []
        place = (OWED.created_at, "order_1")
        rest = await store.read(lambda tx: tx.transfers.listed(TransferStatus.OWED, 9, place))
        assert [one.id for one in rest] == ["order_3"]
