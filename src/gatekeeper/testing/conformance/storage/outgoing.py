"""What we ask of Stripe."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.storage.outgoing import RequestStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND

REQUEST = samples.request()
ENDED = replace(
    REQUEST,
    status=RequestStatus.DONE,
    customer="org_1",
    account="acct_2",
    ended_at=NOW + SECOND,
    answer_id="re_1",
    last_error="Stripe did not answer.",
)


class RequestConformance:
    """What every store must do with requests to Stripe. Provide an opened `store`."""

    pytestmark = pytest.mark.anyio

    async def test_a_request_comes_back_as_written(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.requests.get("req_1")) is None
        assert await store.write(lambda tx: tx.requests.insert(REQUEST))
        assert not await store.write(lambda tx: tx.requests.insert(replace(REQUEST, path="/v2")))
        assert await store.read(lambda tx: tx.requests.get("req_1")) == REQUEST
        await store.write(lambda tx: tx.requests.save(ENDED))
        found = await store.write(lambda tx: tx.requests.get("req_1", lock=True))
        assert found == ENDED
        assert found is not None
        assert found.status is RequestStatus.DONE
        with pytest.raises(NotFoundError):
            await store.write(lambda tx: tx.requests.save(replace(ENDED, id="req_2")))

    async def test_open_requests_are_claimed_when_they_are_due_the_oldest_first(
        self, store: Store
    ) -> None:
        rows = [
            replace(REQUEST, id="late", created_at=NOW + SECOND),
            replace(REQUEST, id="early"),
            replace(REQUEST, id="not yet", due_at=NOW + DAY),
            replace(ENDED, id="done"),
            replace(ENDED, id="failed", status=RequestStatus.FAILED),
        ]

        def insert(tx: Transaction) -> None:
            for row in rows:
                tx.requests.insert(row)

        await store.write(insert)
        due, until = NOW + HOUR, NOW + 2 * HOUR
        assert await store.write(lambda tx: tx.requests.claim(due - SECOND, until, 9)) == []
        found = await store.write(lambda tx: tx.requests.claim(due, until, 9))
        assert found == [replace(rows[1], due_at=until), replace(rows[0], due_at=until)]
        assert await store.write(lambda tx: tx.requests.claim(due, until, 9)) == []
        again = await store.write(lambda tx: tx.requests.claim(until, until + HOUR, 1))
        assert len(again) == 1

    async def test_racing_claims_share_the_requests(self, store: Store) -> None:
        def insert(tx: Transaction) -> None:
            for number in range(8):
                tx.requests.insert(replace(REQUEST, id=f"req_{number}"))

        await store.write(insert)
        due, until = NOW + HOUR, NOW + 2 * HOUR
        claims = await asyncio.gather(
            *(store.write(lambda tx: tx.requests.claim(due, until, 2)) for _ in range(6))
        )
        taken = [request.id for claim in claims for request in claim]
        assert len(taken) == len(set(taken))
        rest = await store.write(lambda tx: tx.requests.claim(due, until, 8))
        assert len(taken) + len(rest) == 8

    async def test_what_has_ended_long_ago_is_pruned(self, store: Store) -> None:
        def insert(tx: Transaction) -> None:
            tx.requests.insert(REQUEST)
            for number in range(3):
                tx.requests.insert(replace(ENDED, id=f"done_{number}"))

        await store.write(insert)
        at = NOW + SECOND
        assert await store.write(lambda tx: tx.requests.prune(at, 9)) == 0
        assert await store.write(lambda tx: tx.requests.prune(at + SECOND, 2)) == 2
        assert await store.write(lambda tx: tx.requests.prune(at + SECOND, 9)) == 1
        assert await store.read(lambda tx: tx.requests.get("req_1")) == REQUEST

    async def test_what_was_asked_for_a_customer_goes_with_them(self, store: Store) -> None:
        def insert(tx: Transaction) -> None:
            tx.requests.insert(ENDED)
            tx.requests.insert(replace(ENDED, id="req_2", customer="org_2"))
            tx.audit.erase("org_1", "erased_1", NOW)

        await store.write(insert)
        assert await store.read(lambda tx: tx.requests.get("req_1")) is None
        assert await store.read(lambda tx: tx.requests.get("req_2")) is not None
