"""The outbox: everything leaves, in order for each customer."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

import pytest

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxCounts, OutboxMessage, OutboxState
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

    async def test_messages_of_a_customer_leave_one_by_one_in_order_whatever_their_topics(
        self, store: Store
    ) -> None:
        await _add(
            store,
            samples.message("msg_2", age=1),
            samples.message("msg_1", age=2, topic="mail"),
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

    async def test_other_customers_do_not_wait(self, store: Store) -> None:
        await _add(
            store,
            samples.message("msg_1", age=9),
            samples.message("msg_2", age=8),
            samples.message("msg_3", age=7, topic="mail"),
            samples.message("msg_4", "bob", age=6),
        )
        assert await _claim(store) == ["msg_1", "msg_4"]

    async def test_receivers_do_not_wait_for_one_another(self, store: Store) -> None:
        await _add(
            store,
            samples.message("msg_1", age=9),
            samples.message("msg_2", age=8, receiver="mail"),
            samples.message("msg_3", age=7, receiver="mail"),
            samples.message("msg_4", age=6, receiver="crm"),
            samples.message("msg_5", age=5),
        )
        claimed = await store.write(lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 10))
        assert [(one.id, one.receiver) for one in claimed] == [
            ("msg_1", ""),
            ("msg_2", "mail"),
            ("msg_4", "crm"),
        ]
        await store.write(partial(_sent, message_id="msg_2"))
        assert await _claim(store) == ["msg_3"]

    async def test_what_waits_right_behind_a_message_is_found_in_order(self, store: Store) -> None:
        first = samples.message("msg_3", age=9)
        await _add(
            store,
            samples.message("msg_2", age=9),  # before it, by its id
            first,
            samples.message("msg_5", age=7),
            samples.message("msg_4", age=8),
            samples.message("msg_6", "bob", age=6),
            samples.message("msg_7", age=5, receiver="mail"),
            samples.message("msg_8", age=4),
            samples.message("msg_9", age=3, due_at=NOW + SECOND),
            samples.message("msg_a", age=2),
        )

        def behind(limit: int, at: datetime = NOW) -> Callable[[Transaction], list[str]]:
            return lambda tx: [one.id for one in tx.outbox.behind(first, at, limit)]

        assert await store.write(behind(9)) == ["msg_4", "msg_5", "msg_8"]
        assert await store.write(behind(2)) == ["msg_4", "msg_5"]
        later = NOW + SECOND
        assert await store.write(behind(9, later)) == ["msg_4", "msg_5", "msg_8", "msg_9", "msg_a"]
        await store.write(partial(_sent, message_id="msg_4"))
        await store.write(lambda tx: tx.outbox.failed("msg_8", "boom", due_at=None))
        assert await store.write(behind(9)) == ["msg_5"]

    async def test_what_is_leased_ends_what_waits_behind(self, store: Store) -> None:
        await _add(store, samples.message("msg_2", age=2), samples.message("msg_3", age=1))
        assert await _claim(store) == ["msg_2"]
        early = samples.message("msg_1", age=3)  # its transaction was the longer one
        await _add(store, early)
        assert await store.write(lambda tx: list(tx.outbox.behind(early, NOW, 9))) == []
        over = NOW + DAY
        found = await store.write(lambda tx: list(tx.outbox.behind(early, over, 9)))
        assert [one.id for one in found] == ["msg_2", "msg_3"]

    async def test_what_waits_for_a_receiver_is_read_and_dropped_without_a_lease(
        self, store: Store
    ) -> None:
        await _add(
            store,
            samples.message("msg_1", age=9, receiver="caches"),
            samples.message("msg_2", "bob", age=8, receiver="caches"),
            samples.message("msg_3", age=7),
            samples.message("msg_4", age=6, receiver="caches"),
        )
        await store.write(partial(_sent, message_id="msg_4"))

        def waiting(tx: Transaction, limit: int = 9) -> list[OutboxMessage]:
            return list(tx.outbox.waiting_for("caches", limit))

        found = await store.read(waiting)
        assert [one.id for one in found] == ["msg_1", "msg_2"]
        assert [one.id for one in await store.read(partial(waiting, limit=1))] == ["msg_1"]
        await store.write(lambda tx: tx.outbox.drop(found))
        assert await store.read(waiting) == []
        assert await _claim(store) == ["msg_3"]

    async def test_who_listens_is_told_of_each_commit_that_wrote_a_message(
        self, store: Store
    ) -> None:
        told: list[str] = []
        listener = partial(told.append, "told")
        store.on_messages.add(listener)
        await store.write(lambda tx: tx.now())
        await _add(store)

        def fail(tx: Transaction) -> None:
            tx.outbox.add([samples.message()])
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.write(fail)
        await store.write(lambda tx: tx.now())
        assert told == []
        await _add(store, samples.message("msg_1"), samples.message("msg_2"))
        assert told == ["told"]
        store.on_messages.discard(listener)
        await _add(store, samples.message("msg_3"))
        assert told == ["told"]

    async def test_receivers_that_are_left_alone_hold_up_no_others(self, store: Store) -> None:
        await _add(
            store,
            samples.message("msg_1", age=9, receiver="meter"),
            samples.message("msg_2", age=8, receiver="mail"),
            samples.message("msg_3", age=7, receiver="other"),
        )

        def claim(tx: Transaction, *but_not: str) -> list[str]:
            found = tx.outbox.claim(NOW, NOW + HOUR, 10, but_not=but_not)
            return [one.id for one in found]

        assert await store.write(lambda tx: claim(tx, "meter", "mail")) == ["msg_3"]
        assert await store.write(lambda tx: claim(tx, "meter")) == ["msg_2"]
        assert await store.write(claim) == ["msg_1"]
        assert await store.write(claim) == []

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

    async def test_only_the_holder_of_the_lease_settles(self, store: Store) -> None:
        await _add(store, samples.message())
        await _claim(store)
        old, later = NOW + HOUR, NOW + 2 * HOUR
        await _claim(store, now=old)  # the first lease is over: its end was `old`

        def settle(tx: Transaction) -> list[bool]:
            return [
                tx.outbox.sent("msg_1", NOW, lease=old),
                tx.outbox.failed("msg_1", "late", due_at=NOW, lease=old),
                tx.outbox.failed("msg_1", "late", due_at=None, lease=old),
                tx.outbox.renew("msg_1", old, later + HOUR),
                tx.outbox.sent("msg_2", NOW),
            ]

        assert await store.write(settle) == [False] * 5
        assert await _claim(store, now=old) == []  # the second one's lease stands
        assert await store.write(lambda tx: tx.outbox.renew("msg_1", later, later + HOUR))
        assert await _claim(store, now=later) == []
        assert await store.write(lambda tx: tx.outbox.sent("msg_1", NOW, lease=later + HOUR))
        assert not await store.write(lambda tx: tx.outbox.renew("msg_1", later + HOUR, later))
        assert await _claim(store, now=later + DAY) == []

    async def test_an_attempt_can_be_taken_back(self, store: Store) -> None:
        await _add(store, samples.message())
        await _claim(store)
        await store.write(
            lambda tx: tx.outbox.failed(
                "msg_1", "away", due_at=NOW, lease=NOW + HOUR, counted=False
            )
        )
        claimed = await store.write(lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 1))
        assert [one.attempts for one in claimed] == [1]

    async def test_case_45_dead_letters_are_tried_again_all_or_one(self, store: Store) -> None:
        await self._three_dead_one_waiting(store)
        assert await store.write(lambda tx: tx.outbox.retry(NOW, message_id="msg_4")) == 0
        assert await store.write(lambda tx: tx.outbox.retry(NOW, message_id="msg_2")) == 1
        claimed = await store.write(lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 9))
        assert [(one.id, one.attempts, one.last_error) for one in claimed] == [
            ("msg_2", 1, None),
            ("msg_4", 1, None),
        ]
        assert await store.write(lambda tx: tx.outbox.retry(NOW)) == 2
        assert await _claim(store) == ["msg_1", "msg_3"]

    async def test_what_is_discarded_is_gone(self, store: Store) -> None:
        await self._three_dead_one_waiting(store)
        assert await store.write(lambda tx: tx.outbox.discard(message_id="msg_1")) == 1
        assert await store.write(lambda tx: tx.outbox.discard(message_id="msg_1")) == 0
        assert await store.write(lambda tx: tx.outbox.discard()) == 2
        assert await _claim(store) == ["msg_4"]
        await store.write(lambda tx: tx.outbox.sent("msg_4", NOW))
        assert await store.write(lambda tx: tx.outbox.discard(message_id="msg_4")) == 0
        await _add(store, samples.message("msg_5"))
        assert await store.write(lambda tx: tx.outbox.discard(message_id="msg_5")) == 1
        assert await _claim(store) == []

    async def test_messages_are_counted_and_listed_by_state(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.outbox.counts()) == OutboxCounts(waiting=0, dead=0)
        await self._three_dead_one_waiting(store)
        await _add(store, samples.message("msg_0", "eve", age=60), samples.message("msg_9", "eve"))
        await store.write(lambda tx: tx.outbox.sent("msg_9", NOW))
        counts = await store.read(lambda tx: tx.outbox.counts())
        assert counts == OutboxCounts(waiting=2, dead=3, oldest_waiting_at=NOW - 60 * SECOND)

        def listed(tx: Transaction, state: OutboxState, limit: int = 9) -> list[str]:
            return [one.id for one in tx.outbox.listing(state, limit)]

        def after_the_first(tx: Transaction, state: OutboxState) -> list[str]:
            (first,) = tx.outbox.listing(state, 1)
            place = (first.sent_at or first.created_at, first.id)
            return [one.id for one in tx.outbox.listing(state, 9, place)]

        for state, ids in {
            OutboxState.WAITING: ["msg_0", "msg_4"],
            OutboxState.DEAD: ["msg_1", "msg_2", "msg_3"],
            OutboxState.SENT: ["msg_9"],
        }.items():
            assert await store.read(partial(listed, state=state)) == ids
            assert await store.read(partial(listed, state=state, limit=1)) == ids[:1]
            assert await store.read(partial(after_the_first, state=state)) == ids[1:]

    async def test_what_was_sent_long_ago_is_pruned(self, store: Store) -> None:
        await _add(store, *(samples.message(f"msg_{n}", f"customer {n}") for n in range(4)))
        for number in range(3):
            at = NOW + number * HOUR
            await store.write(partial(_sent, message_id=f"msg_{number}", at=at))
        assert await store.write(lambda tx: tx.outbox.prune(NOW + 2 * HOUR, 1)) == 1
        assert await store.write(lambda tx: tx.outbox.prune(NOW + 2 * HOUR, 9)) == 1
        assert await store.write(lambda tx: tx.outbox.prune(NOW + 2 * HOUR, 9)) == 0
        sent = await store.read(lambda tx: tx.outbox.listing(OutboxState.SENT, 9))
        assert [one.id for one in sent] == ["msg_2"]
        assert await _claim(store) == ["msg_3"]

    async def _three_dead_one_waiting(self, store: Store) -> None:
        names = ("msg_1", "msg_2", "msg_3", "msg_4")
        await _add(
            store,
            *(samples.message(name, f"of {name}", age=9 - n) for n, name in enumerate(names)),
        )

        def bury(tx: Transaction) -> None:
            for name in names[:3]:
                tx.outbox.failed(name, "no", due_at=None)

        await store.write(bury)

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


def _sent(tx: Transaction, message_id: str, at: datetime = NOW) -> None:
    tx.outbox.sent(message_id, at)
