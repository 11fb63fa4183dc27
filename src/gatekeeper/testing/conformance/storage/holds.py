"""Holds: found, listed, expired, and kept after their end."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from gatekeeper.errors import ConflictError, InvalidInputError, TransactionConflictError
from gatekeeper.ledger import Capture, Change, Extend, HoldCommand, HoldStatus, settle
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW, SECOND


class HoldConformance:
    """What every store must do with holds. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_hold_is_found_by_its_id_among_all_customers(self, store: Store) -> None:
        for customer in ("ada", "bob"):
            await store.write(partial(samples.fund, amount=10, customer_id=customer))
        own = await store.write(lambda tx: samples.hold(tx, "hold_1", 1))
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_1")) == own.hold
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_1", customer="bob")) is None
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_2")) is None

        other = await store.write(lambda tx: samples.hold(tx, "hold_1", 2, "bob"))
        with pytest.raises(InvalidInputError):
            await store.read(lambda tx: tx.ledger.find_hold("hold_1"))
        found = await store.read(lambda tx: tx.ledger.find_hold("hold_1", customer="bob"))
        assert found == other.hold

    async def test_a_settled_hold_is_kept_and_no_longer_open(self, store: Store) -> None:
        await store.write(lambda tx: samples.fund(tx, 100))
        await store.write(samples.hold)
        ended = await store.write(_settled("hold_1", Capture(12, overrun="cap")))
        assert ended.hold is not None
        assert (ended.hold.status, ended.hold.captured, ended.hold.overrun) == (
            HoldStatus.CAPTURED,
            10,
            2,
        )
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_1")) == ended.hold
        assert list(await store.read(lambda tx: tx.ledger.open_holds("ada", "credits"))) == []
        expired = await store.read(lambda tx: tx.ledger.expired_holds(NOW + 9 * HOUR, 10))
        assert list(expired) == []

    @pytest.mark.parametrize("unit", ["credits", "masters"])
    async def test_a_hold_id_is_used_once_by_a_customer(self, store: Store, unit: str) -> None:
        for name in ("credits", "masters"):
            await store.write(partial(samples.fund, amount=10, unit=name))
        first = await store.write(lambda tx: samples.hold(tx, "hold_1", 4))
        for _ in range(2):
            with pytest.raises(ConflictError):
                await store.write(lambda tx: samples.hold(tx, "hold_1", 3, unit=unit))
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_1")) == first.hold
        assert len(await store.read(lambda tx: tx.ledger.open_holds("ada", unit))) <= 1

    async def test_what_has_ended_is_never_written_again(self, store: Store) -> None:
        """Invariant 3, kept by the store as well: a hold ends exactly once."""
        await store.write(lambda tx: samples.fund(tx, 100))
        opened = await store.write(samples.hold)
        ended = await store.write(_settled("hold_1", Capture(4)))

        def settle_what_was_read_before(tx: Transaction) -> None:
            account = tx.ledger.account("ada", "credits", lock=True)
            assert opened.hold is not None
            tx.ledger.save(account, Change(account, hold=opened.hold))

        with pytest.raises(TransactionConflictError):
            await store.write(settle_what_was_read_before)
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_1")) == ended.hold

    async def test_an_extended_hold_keeps_what_it_has_now(self, store: Store) -> None:
        await store.write(lambda tx: samples.fund(tx, 100))
        await store.write(samples.hold)
        extended = await store.write(_settled("hold_1", Extend(NOW + 9 * HOUR, add_amount=5)))
        assert extended.hold is not None
        claimed = sum(allocation.amount for allocation in extended.hold.allocations)
        assert (extended.hold.amount, claimed) == (15, 15)
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_1")) == extended.hold
        renewed = await store.write(_settled("hold_1", Extend(NOW + 10 * HOUR)))
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_1")) == renewed.hold

    async def test_open_holds_come_oldest_first_and_of_one_account(self, store: Store) -> None:
        for customer, unit in (("ada", "credits"), ("ada", "masters"), ("bob", "credits")):
            await store.write(partial(samples.fund, amount=10, customer_id=customer, unit=unit))
        for hold_id, at in (("hold_b", NOW), ("hold_a", NOW + SECOND), ("hold_c", NOW + HOUR)):
            await store.write(partial(samples.hold, hold_id=hold_id, amount=1, at=at))
        await store.write(lambda tx: samples.hold(tx, "hold_m", 1, unit="masters"))
        await store.write(lambda tx: samples.hold(tx, "hold_bob", 1, "bob"))
        found = await store.read(lambda tx: tx.ledger.open_holds("ada", "credits"))
        assert [hold.id for hold in found] == ["hold_b", "hold_a", "hold_c"]

    async def test_expired_holds_come_oldest_first_and_limited(self, store: Store) -> None:
        for customer, unit in (("ada", "credits"), ("ada", "masters"), ("bob", "credits")):
            await store.write(partial(samples.fund, amount=10, customer_id=customer, unit=unit))
        for hold_id, customer, unit, ttl in [
            ("third", "ada", "credits", 3),
            ("first", "ada", "masters", 1),
            ("second", "bob", "credits", 2),
            ("later", "ada", "credits", 4),
        ]:
            await store.write(
                partial(
                    samples.hold,
                    hold_id=hold_id,
                    amount=1,
                    customer_id=customer,
                    unit=unit,
                    ttl=timedelta(seconds=ttl),
                )
            )

        async def expired(seconds: int, limit: int, **scope: str) -> list[str]:
            at = NOW + seconds * SECOND
            found = await store.read(lambda tx: tx.ledger.expired_holds(at, limit, **scope))
            return [hold.id for hold in found]

        assert await expired(0, 10) == []
        assert await expired(3, 10) == ["first", "second", "third"]  # at its very end it is over
        assert await expired(3, 2) == ["first", "second"]
        assert await expired(9, 10, customer="ada") == ["first", "third", "later"]
        assert await expired(9, 10, customer="ada", unit="credits") == ["third", "later"]
        assert await expired(9, 10, customer="nobody") == []


def _settled(hold_id: str, command: HoldCommand) -> Callable[[Transaction], Change]:
    def work(tx: Transaction) -> Change:
        account = tx.ledger.account("ada", "credits", lock=True)
        hold = tx.ledger.find_hold(hold_id, customer="ada")
        assert hold is not None
        change = settle(account, hold, command, NOW)
        tx.ledger.save(account, change)
        return change

    return work
