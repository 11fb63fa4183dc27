"""The outbox: everything leaves, in order for each customer and topic."""

import asyncio
from datetime import datetime
from functools import partial

import pytest

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxMessage
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND


class OutboxConformance:
    """What every store must do with the outbox. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_message_is_claimed_as_written(self, store: Store) -> None:
        await _add(store, samples.message(body='{"customer": "ü"}'))
        claimed = await store.write(lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 10))
        assert len(claimed) == 1
        plain = (claimed[0].id, claimed[0].customer, claimed[0].topic, claimed[0].body)
        assert plain == ("msg_1", "ada", "meter", '{"customer": "ü"}')
        assert claimed[0].created_at == NOW
        assert (claimed[0].sent_at, claimed[0].dead) == (None, False)

    async def test_adding_nothing_is_nothing(self, store: Store) -> None:
        await _add(store)
        assert await _claim(store) == []

    async def test_a_message_of_the_same_id_is_added_once(self, store: Store) -> None:
        await _add(store, samples.message())
        await _add(store, samples.message())
        assert await _claim(store) == ["msg_1"]
        await store.write(lambda tx: tx.outbox.sent("msg_1", NOW))
        await _add(store, samples.message())
        assert await _claim(store) == []

    async def test_messages_of_a_customer_and_topic_leave_one_by_one_in_order(
        self, store: Store
    ) -> None:
        await _add(
            store,
            samples.message("msg_2", age=1),
            samples.message("msg_1", age=2),
            samples.message("msg_3", age=0),
        )
        sent: list[str] = []
        for _ in range(3):
            claimed = await _claim(store)
            assert len(claimed) == 1
            assert await _claim(store) == []  # the next one waits for it
            await store.write(partial(_sent, message_id=claimed[0]))
            sent += claimed
        assert sent == ["msg_1", "msg_2", "msg_3"]
        assert await _claim(store, now=NOW + DAY) == []

    async def test_other_customers_and_topics_do_not_wait(self, store: Store) -> None:
        await _add(
            store,
            samples.message("msg_1", age=9),
            samples.message("msg_2", age=8),
            samples.message("msg_3", age=7, topic="mail"),
            samples.message("msg_4", "bob", age=6),
        )
        assert await _claim(store) == ["msg_1", "msg_3", "msg_4"]

    async def test_a_claim_is_limited_to_the_oldest(self, store: Store) -> None:
        await _add(
            store, *(samples.message(f"msg_{n}", f"customer {n}", age=9 - n) for n in range(3))
        )
        assert await _claim(store, limit=2) == ["msg_0", "msg_1"]
        assert await _claim(store, limit=2) == ["msg_2"]

    async def test_a_message_that_is_not_due_holds_up_what_follows(self, store: Store) -> None:
        await _add(
            store,
            samples.message("msg_1", age=2, due_at=NOW + HOUR),
            samples.message("msg_2", age=1),
        )
        assert await _claim(store) == []
        assert await _claim(store, now=NOW + HOUR) == ["msg_1"]

    async def test_a_failed_message_is_tried_again_before_its_followers(self, store: Store) -> None:
        await _add(store, samples.message("msg_1", age=2), samples.message("msg_2", age=1))
        assert await _claim(store) == ["msg_1"]
        await store.write(lambda tx: tx.outbox.failed("msg_1", "no answer", due_at=NOW + SECOND))
        assert await _claim(store) == []
        claimed = await store.write(lambda tx: tx.outbox.claim(NOW + SECOND, NOW + HOUR, 10))
        assert [(one.id, one.attempts, one.last_error) for one in claimed] == [
            ("msg_1", 2, "no answer")
        ]

    async def test_case_45_a_dead_message_does_not_hold_up_what_follows(self, store: Store) -> None:
        await _add(store, samples.message("msg_1", age=2), samples.message("msg_2", age=1))
        assert await _claim(store) == ["msg_1"]
        await store.write(lambda tx: tx.outbox.failed("msg_1", "too old", due_at=None))
        assert await _claim(store) == ["msg_2"]
        assert await _claim(store, now=NOW + 9 * DAY) == ["msg_2"]

    async def test_a_lease_that_ran_out_is_claimed_anew(self, store: Store) -> None:
        await _add(store, samples.message())
        assert await _claim(store) == ["msg_1"]
        assert await _claim(store, now=NOW + HOUR - SECOND) == []
        assert await _claim(store, now=NOW + HOUR) == ["msg_1"]

    async def test_racing_claimers_never_share_a_message(self, store: Store) -> None:
        await _add(
            store, *(samples.message(f"msg_{n:02}", f"customer {n}", age=n) for n in range(24))
        )
        claims = await asyncio.gather(
            *(store.write(lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 5)) for _ in range(6))
        )
        claimed = [one.id for some in claims for one in some]
        assert len(set(claimed)) == len(claimed)
        rest = await _claim(store, limit=100)
        assert len(set(claimed) | set(rest)) == 24

    async def test_a_message_leaves_only_with_its_transaction(self, store: Store) -> None:
        def fail(tx: Transaction) -> None:
            tx.outbox.add([samples.message()])
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.write(fail)
        assert await _claim(store) == []


async def _add(store: Store, *messages: OutboxMessage) -> None:
    await store.write(lambda tx: tx.outbox.add(iter(messages)))


async def _claim(store: Store, *, now: datetime = NOW, limit: int = 10) -> list[str]:
    claimed = await store.write(lambda tx: tx.outbox.claim(now, now + HOUR, limit))
    return [one.id for one in claimed]


def _sent(tx: Transaction, message_id: str) -> None:
    tx.outbox.sent(message_id, NOW)
