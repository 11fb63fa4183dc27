"""Fetch tickets: what was fetched late never overwrites what was fetched later."""

import asyncio

import pytest

from gatekeeper.storage.port import Store, Transaction


class TicketConformance:
    """What every store must do with fetch tickets. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_tickets_grow_and_belong_to_one_object(self, store: Store) -> None:
        taken = [await store.write(lambda tx: tx.inbox.take_ticket("sub_1")) for _ in range(3)]
        assert taken == sorted(set(taken))
        other = await store.write(lambda tx: tx.inbox.take_ticket("sub_2"))
        assert await _use(store, other, about="sub_2")
        assert await _use(store, taken[0])

    async def test_racing_tickets_are_all_different(self, store: Store) -> None:
        taken = await asyncio.gather(
            *(store.write(lambda tx: tx.inbox.take_ticket("sub_1")) for _ in range(16))
        )
        assert len(set(taken)) == 16

    async def test_case_17_a_slow_fetch_may_not_overwrite_a_newer_one(self, store: Store) -> None:
        slow = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        fast = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        assert await _use(store, fast)
        assert not await _use(store, slow)
        assert not await _use(store, slow, terminal=True)
        later = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        assert await _use(store, later)

    async def test_a_ticket_can_be_used_while_a_later_one_is_only_taken(self, store: Store) -> None:
        first = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        second = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        assert await _use(store, first)
        assert await _use(store, second)

    async def test_case_18_a_terminal_state_sticks(self, store: Store) -> None:
        first = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        assert await _use(store, first, terminal=True)
        late = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        assert not await _use(store, late)
        assert await _use(store, late, terminal=True)  # the same end, seen again
        last = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        assert not await _use(store, last)

    async def test_a_use_that_was_rolled_back_did_not_happen(self, store: Store) -> None:
        first = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))
        second = await store.write(lambda tx: tx.inbox.take_ticket("sub_1"))

        def fail(tx: Transaction) -> None:
            assert tx.inbox.use_ticket("sub_1", second, terminal=True)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.write(fail)
        assert await _use(store, first)
        assert await _use(store, second)


async def _use(store: Store, ticket: int, *, about: str = "sub_1", terminal: bool = False) -> bool:
    return await store.write(lambda tx: tx.inbox.use_ticket(about, ticket, terminal=terminal))
