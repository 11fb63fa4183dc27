"""Holds: found, listed, expired, and kept after their end."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest

from gatekeeper.errors import ConflictError, InvalidInputError, TransactionConflictError
from gatekeeper.ledger import (
    Capture,
    Change,
    Extend,
    Hold,
    HoldCommand,
    HoldStatus,
    Release,
    Reserve,
    apply,
    settle,
)
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

    async def test_holds_are_found_by_their_customers_and_ids(self, store: Store) -> None:
        made: dict[tuple[str, str], Hold | None] = {}
        for customer in ("ada", "bob"):
            await store.write(partial(samples.fund, amount=10, customer_id=customer))
            for name in ("one", "two", "three"):
                change = await store.write(
                    partial(samples.hold, hold_id=name, amount=1, customer_id=customer)
                )
                made[customer, name] = change.hold
        ended = await store.write(_settled("two", Capture(1)))
        made["ada", "two"] = ended.hold
        wanted = [("ada", "two"), ("bob", "three"), ("ada", "four"), ("eve", "one")]

        async def found(keys: list[tuple[str, str]]) -> dict[tuple[str, str], Hold]:
            return await store.read(lambda tx: tx.ledger.find_holds(keys))

        assert await found(wanted) == {key: made[key] for key in wanted[:2]}
        assert await found(list(made)) == made
        assert await found([]) == {}

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

    async def test_the_next_end_is_that_of_an_open_hold_of_the_account(self, store: Store) -> None:
        for customer, unit in (("ada", "credits"), ("ada", "masters"), ("bob", "credits")):
            await store.write(partial(samples.fund, amount=10, customer_id=customer, unit=unit))
        for hold_id, customer, unit, hours in (
            ("second", "ada", "credits", 2),
            ("first", "ada", "credits", 1),
            ("last", "ada", "credits", 4),
            ("other", "ada", "masters", 3),
            ("bob's", "bob", "credits", 3),
        ):
            await store.write(
                partial(
                    samples.hold,
                    hold_id=hold_id,
                    amount=1,
                    customer_id=customer,
                    unit=unit,
                    ttl=hours * HOUR,
                )
            )
        await store.write(_settled("second", Release()))

        async def next_end(hours: int, customer: str = "ada") -> datetime | None:
            after = NOW + hours * HOUR
            return await store.read(
                lambda tx: tx.ledger.next_hold_expiry(customer, "credits", after=after)
            )

        assert await next_end(0) == NOW + HOUR
        assert await next_end(1) == NOW + 4 * HOUR  # one that ends at this very instant is over
        assert await next_end(4) is None
        assert await next_end(0, "nobody") is None

    async def test_what_was_used_is_what_was_captured_or_is_held(self, store: Store) -> None:
        """By scope: "design" is what is used in "design" and below it, and not in "designers"."""
        for customer, unit in (("ada", "credits"), ("ada", "masters"), ("bob", "credits")):
            await store.write(partial(samples.fund, amount=1_000, customer_id=customer, unit=unit))

        def hold(
            tx: Transaction,
            name: str,
            amount: int,
            scope: str,
            unit: str = "credits",
            hours: int = 0,
        ) -> None:
            account = tx.ledger.account("ada", unit, lock=True)
            command = Reserve(name, amount, NOW + 9 * HOUR, scope=scope)
            tx.ledger.save(account, apply(account, command, NOW + hours * HOUR))

        for name, amount, scope in (
            ("open", 1, "design"),
            ("captured", 2, "design/ann"),
            ("in part", 4, "design/ann"),
            ("released", 8, "design"),
            ("beside", 16, "designers"),
            ("without", 32, ""),
            ("like", 64, "d_sign"),
        ):
            await store.write(partial(hold, name=name, amount=amount, scope=scope))
        await store.write(partial(hold, name="m", amount=128, scope="design", unit="masters"))
        await store.write(lambda tx: samples.hold(tx, "b", 256, "bob"))
        await store.write(_settled("captured", Capture(1)))
        await store.write(_settled("in part", Capture(3, final=False)))
        await store.write(_settled("released", Release()))
        await store.write(partial(hold, name="later", amount=512, scope="design", hours=1))

        async def used(scope: str, hours: int = 0) -> int:
            since = NOW + hours * HOUR
            return await store.read(lambda tx: tx.ledger.used("ada", "credits", scope, since))

        assert await used("design") == 1 + 1 + 4 + 512
        assert await used("design/ann") == 1 + 4
        assert await used("designers") == 16
        assert await used("d_sign") == 64
        assert await used("sales") == 0
        assert await used("") == 1 + 1 + 4 + 16 + 32 + 64 + 512
        assert await used("design", 1) == 512
        assert await used("design", 2) == 0


def _settled(hold_id: str, command: HoldCommand) -> Callable[[Transaction], Change]:
    def work(tx: Transaction) -> Change:
        account = tx.ledger.account("ada", "credits", lock=True)
        hold = tx.ledger.find_hold(hold_id, customer="ada")
        assert hold is not None
        change = settle(account, hold, command, NOW)
        tx.ledger.save(account, change)
        return change

    return work
